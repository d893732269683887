# `make dashboards` generates the body from the list of metrics (shared/platform/src/telemetry.rs).
resource "aws_cloudwatch_dashboard" "dashboard" {
  dashboard_name = var.name

  dashboard_body = templatefile("${path.module}/dashboard.json.tftpl", {
    region               = data.aws_region.current.id
    scorer               = aws_lambda_function.scorer_function.function_name
    batch_predictor      = aws_lambda_function.batch_predictor_function.function_name
    retrainer            = aws_lambda_function.retrainer_function.function_name
    monitor              = aws_lambda_function.monitor_function.function_name
    web                  = aws_lambda_function.web_function.function_name
    trips_queue          = aws_sqs_queue.trips_queue.name
    predictions_queue    = aws_sqs_queue.predictions_queue.name
    dead_letter_queue    = aws_sqs_queue.dead_letter_queue.name
    rejects_queue        = aws_sqs_queue.rejects_queue.name
    batch_failures_queue = aws_sqs_queue.batch_failures_queue.name
  })
}
