output "trips_queue_url" {
  description = "Send trip messages here"
  value       = aws_sqs_queue.trips_queue.url
}

output "predictions_queue_url" {
  description = "Predictions come out here"
  value       = aws_sqs_queue.predictions_queue.url
}

output "trips_stream_name" {
  description = "Put records of trips here"
  value       = one(aws_kinesis_stream.trips_stream[*].name)
}

output "predictions_stream_name" {
  description = "Predictions of records come out here"
  value       = one(aws_kinesis_stream.predictions_stream[*].name)
}

output "dead_letter_queue_url" {
  description = "Messages that failed repeatedly"
  value       = aws_sqs_queue.dead_letter_queue.url
}

output "rejects_queue_url" {
  description = "Messages that can never be predicted, with the reason"
  value       = aws_sqs_queue.rejects_queue.url
}

output "batch_failures_queue_url" {
  description = "Files and retrainings that failed for good"
  value       = aws_sqs_queue.batch_failures_queue.url
}

output "data_bucket_name" {
  description = "Files of trips, predictions, quarantine"
  value       = aws_s3_bucket.data_bucket.bucket
}

output "model_bucket_name" {
  description = "The model registry"
  value       = aws_s3_bucket.model_bucket.bucket
}

output "scorer_function_name" {
  description = "Messages to predictions"
  value       = aws_lambda_function.scorer_function.function_name
}

output "batch_predictor_function_name" {
  description = "A file to a file of predictions"
  value       = aws_lambda_function.batch_predictor_function.function_name
}

output "backfill_state_machine_arn" {
  description = "Predicts what lies below a prefix (tripcast backfill)"
  value       = aws_sfn_state_machine.backfill_state_machine.arn
}

output "database_name" {
  description = "Tables of predictions and of figures, for SQL"
  value       = aws_glue_catalog_database.database.name
}

output "training_state_machine_arn" {
  description = "Retrains step by step (tripcast retrain --state-machine)"
  value       = aws_sfn_state_machine.training_state_machine.arn
}

output "retrainer_function_name" {
  description = "Invoke it to retrain before the 15th"
  value       = aws_lambda_function.retrainer_function.function_name
}

output "monitor_function_name" {
  description = "Invoke it for a report before the morning"
  value       = aws_lambda_function.monitor_function.function_name
}

output "web_function_name" {
  description = "Trips to predictions, over HTTP"
  value       = aws_lambda_function.web_function.function_name
}

output "http_api_url" {
  description = "Post trips to /predict here"
  value       = aws_apigatewayv2_api.http_api.api_endpoint
}

output "alarm_topic_arn" {
  description = "Alarms are published here"
  value       = aws_sns_topic.alarm_topic.arn
}

output "dashboard_name" {
  description = "How it goes, in CloudWatch"
  value       = aws_cloudwatch_dashboard.dashboard.dashboard_name
}
