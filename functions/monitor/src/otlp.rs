//! Sends figures to an OpenTelemetry collector, or to whoever speaks its protocol (OTLP over HTTP, protobuf), such as New Relic.

use std::collections::HashMap;
use std::str::FromStr;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider;
use opentelemetry_otlp::{MetricExporter, Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use percent_encoding::percent_decode_str;
use platform::telemetry::Metric;

/// Time for attempts, of which a busy receiver (429, 503) gets several. The provider waits a second longer, and no more: a receiver that
/// does not answer changes nothing else.
const TIMEOUT: Duration = Duration::from_secs(4);

/// Headers of a request: `api-key=abc,other=x%20y`, as OpenTelemetry's variables state them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(pub HashMap<String, String>);

impl FromStr for Headers {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let header = |pair: &str| {
            let (name, value) = pair.split_once('=').ok_or("expected name=value, separated by commas")?;
            let value = percent_decode_str(value.trim())
                .decode_utf8()
                .map_err(|_| "expected percent-encoded UTF-8")?;
            Ok((name.trim().to_string(), value.into_owned()))
        };
        let pairs = text.split(',').filter(|pair| !pair.trim().is_empty());
        pairs.map(header).collect::<Result<_, String>>().map(Self)
    }
}

/// A receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    /// Its address, such as `http://localhost:4318`; `/v1/metrics` is appended.
    pub endpoint: String,
    /// Headers of each request.
    pub headers: Headers,
}

/// Figures of a source.
pub type Figures = (&'static str, Vec<(Metric, f64)>);

impl Receiver {
    /// Sends gauges called `tripcast.<name>` with the attribute `source`, and returns when they are accepted. It blocks.
    ///
    /// # Errors
    /// Why they were not accepted.
    pub fn send(&self, figures: &[Figures]) -> Result<(), String> {
        let endpoint = format!("{}/v1/metrics", self.endpoint.trim_end_matches('/'));
        let exporter = MetricExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint)
            .with_headers(self.headers.0.clone())
            .with_timeout(TIMEOUT)
            .build()
            .map_err(|error| error.to_string())?;
        let resource = Resource::builder().with_service_name("tripcast-monitor").build();
        let provider =
            SdkMeterProvider::builder().with_periodic_exporter(exporter).with_resource(resource).build();
        let meter = provider.meter("tripcast");
        for (source, metrics) in figures {
            for (metric, value) in metrics {
                let gauge = meter.f64_gauge(format!("tripcast.{}", metric.snake_case_name())).build();
                gauge.record(*value, &[KeyValue::new("source", *source)]);
            }
        }
        // This is what sends the figures; a flush before it would send them twice.
        provider.shutdown().map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::body::Bytes;
    use axum::extract::State;
    use axum::http::{HeaderMap, StatusCode};
    use axum::routing::post;
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    use prost::Message;
    use tokio::net::TcpListener;

    use super::*;

    type Received = Arc<Mutex<Vec<(HeaderMap, ExportMetricsServiceRequest)>>>;

    /// Starts a collector that answers with one of `statuses` after the other, and returns its address and what it received.
    /// If asked more often, it answers with the last one.
    async fn collector(statuses: &'static [StatusCode]) -> (String, Received) {
        let received = Received::default();
        let receive = move |State(received): State<Received>, headers: HeaderMap, body: Bytes| async move {
            let request = ExportMetricsServiceRequest::decode(body).unwrap();
            let mut received = received.lock().unwrap();
            received.push((headers, request));
            statuses[received.len().min(statuses.len()) - 1]
        };
        let app = Router::new().route("/v1/metrics", post(receive)).with_state(received.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (address, received)
    }

    async fn send(endpoint: String) -> Result<(), String> {
        let receiver = Receiver { endpoint, headers: "api-key=a%20b, other=c".parse().unwrap() };
        let figures = vec![("batch", vec![(Metric::DriftScore, 1.5), (Metric::OpenAlarms, 2.0)])];
        tokio::task::spawn_blocking(move || receiver.send(&figures)).await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn figures_arrive_with_their_headers_before_the_return() {
        let (address, received) = collector(&[StatusCode::OK]).await;
        send(address).await.unwrap();
        let received = received.lock().unwrap();
        assert_eq!(received.len(), 1);
        let (headers, request) = &received[0];
        assert_eq!(
            (&headers["api-key"], &headers["content-type"]),
            (&"a b".parse().unwrap(), &"application/x-protobuf".parse().unwrap())
        );
        let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
        let drift = metrics.iter().find(|metric| metric.name == "tripcast.drift_score").unwrap();
        assert_eq!(metrics.len(), 2);
        let Some(Data::Gauge(gauge)) = &drift.data else { panic!("{drift:?}") };
        assert_eq!(gauge.data_points[0].attributes[0].key, "source");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_receiver_that_refuses_or_is_not_there_is_an_error_and_no_more() {
        let (address, received) = collector(&[StatusCode::BAD_REQUEST]).await;
        assert!(send(address).await.is_err());
        assert_eq!(received.lock().unwrap().len(), 1, "what is refused for good is sent once");
        assert!(send("http://127.0.0.1:9".into()).await.is_err());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_receiver_that_is_busy_is_asked_again() {
        let (address, received) =
            collector(&[StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS, StatusCode::OK])
                .await;
        send(address).await.unwrap();
        assert_eq!(received.lock().unwrap().len(), 3);
        let (address, received) = collector(&[StatusCode::SERVICE_UNAVAILABLE]).await;
        assert!(send(address).await.is_err(), "but not for longer than the time allows");
        assert!(received.lock().unwrap().len() > 1);
    }

    #[test]
    fn headers_are_pairs() {
        assert_eq!("".parse::<Headers>().unwrap(), Headers::default());
        assert!("key".parse::<Headers>().is_err());
    }
}
