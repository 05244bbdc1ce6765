‚
cursor