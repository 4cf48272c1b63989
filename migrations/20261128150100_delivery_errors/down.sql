-- What was taken away can't come back.
SELECT 1;
