DROP TABLE jobs;
DROP FUNCTION job_clock();
