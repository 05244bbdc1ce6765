b
e30.e30.c2lnlaptop