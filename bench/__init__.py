"""What operations cost, measured: counts of calls and units, which do not depend on the machine they ran on."""
