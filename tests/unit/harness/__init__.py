"""The harness proved on itself, on moto or, with DYNAMODB_ENDPOINT set, on that engine."""
