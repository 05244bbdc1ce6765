 
hht_examplehudhud-chat/0.1