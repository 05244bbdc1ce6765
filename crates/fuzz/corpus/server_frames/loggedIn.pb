RA
alice"hht_example(€€·œ‘‰†