DROP TABLE webhook_previous_secrets;
