DROP TABLE job_schedules;
ALTER TABLE jobs DROP COLUMN correlation_id;
