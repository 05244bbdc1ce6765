z 
aliceAlice