//! Deploys template.yaml on the local AWS, one stack for each test.

use std::collections::HashMap;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_kinesis::types::ShardIteratorType;
use aws_sdk_sqs::config::{Credentials, SharedCredentialsProvider};
use aws_sdk_sqs::types::{
    Message, MessageSystemAttributeName, QueueAttributeName, SendMessageBatchRequestEntry,
};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use serde_json::Value;
use store::{S3Store, Store};

/// A deployed stack with clients of its services.
pub struct Stack {
    pub name: String,
    pub config: SdkConfig,
    pub sqs: aws_sdk_sqs::Client,
    pub s3: aws_sdk_s3::Client,
    pub kinesis: aws_sdk_kinesis::Client,
    outputs: HashMap<String, String>,
    endpoint: String,
}

impl Stack {
    /// Deploys the built packages as stack `name` on the local AWS that `make e2e` starts.
    pub fn deploy(name: &str) -> Self {
        Self::deploy_with(name, 5, &[])
    }

    /// Deploys a stack that delivers a failed message again after so many seconds, five times in all, and has these other
    /// parameters, `Name=value`.
    pub fn deploy_with(name: &str, visibility_seconds: u32, parameters: &[&str]) -> Self {
        let root = crate::root();
        let mut command = Command::new("python3");
        let tool = crate::variable("DEPLOY_WITH").unwrap_or_else(|| "sam".into());
        command.arg(root.join("infra/local/local_aws.py")).args(["deploy", "--stack", name, "--with", &tool]);
        command.arg("--zips").arg(crate::packages());
        let visibility = format!("TripsVisibilitySeconds={visibility_seconds}");
        command.args(["--parameter", &visibility, "--parameter", "ModelRefreshSeconds=1"]);
        for parameter in parameters {
            command.args(["--parameter", parameter]);
        }
        let output = command.env("LOCAL_AWS_PORT", port()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "deploying {name} failed: {stderr}");
        // Shows later to which stack a bucket or a queue belongs.
        let outputs = root.join("target/e2e").join(format!("{name}.json"));
        if let Some(folder) = outputs.parent().filter(|folder| folder.exists()) {
            std::fs::write(folder.join(format!("{name}.json")), &output.stdout).unwrap();
        }
        let endpoint = endpoint();
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
                "test", "test", None, None, "test",
            )))
            .endpoint_url(&endpoint)
            .build();
        Self {
            name: name.into(),
            sqs: aws_sdk_sqs::Client::new(&config),
            s3: aws_sdk_s3::Client::new(&config),
            kinesis: aws_sdk_kinesis::Client::new(&config),
            config,
            outputs: serde_json::from_slice(&output.stdout).unwrap(),
            endpoint,
        }
    }

    /// Returns an output of the stack.
    pub fn output(&self, key: &str) -> &str {
        self.outputs.get(key).unwrap_or_else(|| panic!("the stack has no output {key}"))
    }

    /// Opens the bucket of trips.
    pub fn data(&self) -> S3Store {
        S3Store::new(&self.config, self.output("DataBucketName").into(), String::new())
    }

    /// Opens the bucket of models.
    pub fn models(&self) -> S3Store {
        S3Store::new(&self.config, self.output("ModelBucketName").into(), String::new())
    }

    /// Invokes a function and returns its response, or its error as `Err`.
    pub async fn invoke(&self, function: &str, event: &Value) -> Result<Value, Value> {
        let name = self.output(&format!("{function}Name"));
        let url = format!("{}/2015-03-31/functions/{name}/invocations", self.endpoint);
        let answer = reqwest::Client::new().post(url).json(event).send().await.unwrap();
        let failed = answer.headers().contains_key("x-amz-function-error");
        let answer: Value = answer.json().await.unwrap();
        if failed { Err(answer) } else { Ok(answer) }
    }

    /// Calls an action of Step Functions.
    pub async fn steps(&self, action: &str, request: &Value) -> Value {
        call(&self.endpoint, "states", &format!("AWSStepFunctions.{action}"), request).await
    }

    /// Asks the HTTP API, signed as IAM wants it or not, and returns the status and the body.
    pub async fn ask(&self, method: &str, path: &str, body: &Value, is_signed: bool) -> (u16, Value) {
        // Where the local AWS keeps APIs: their own addresses name no host of this machine.
        let api = self.output("HttpApiUrl").trim_start_matches("https://").trim_start_matches("http://");
        let id = api.split('.').next().unwrap_or_default();
        let url = format!("{}/_aws/execute-api/{id}/$default{path}", self.endpoint);
        let body = body.to_string();
        let mut request = reqwest::Client::new().request(method.parse().unwrap(), &url);
        request = request.header("content-type", "application/json").body(body.clone());
        if is_signed {
            let identity = Credentials::new("test", "test", None, None, "test").into();
            let signing = v4::SigningParams::builder()
                .identity(&identity)
                .region("us-east-1")
                .name("execute-api")
                .time(SystemTime::now())
                .settings(SigningSettings::default())
                .build()
                .unwrap();
            let signable =
                SignableRequest::new(method, &url, std::iter::empty(), SignableBody::Bytes(body.as_bytes()));
            let (instructions, _) = sign(signable.unwrap(), &signing.into()).unwrap().into_parts();
            for (name, value) in instructions.headers() {
                request = request.header(name, value);
            }
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// Deletes what hands records of a stream to a function, with its place in each shard, and makes it anew, so that it
    /// begins at the first record again.
    pub async fn restart_mapping(&self, stream: &str) {
        let (http, all) =
            (reqwest::Client::new(), format!("{}/2015-03-31/event-source-mappings/", self.endpoint));
        let listed: Value = http.get(&all).send().await.unwrap().json().await.unwrap();
        let ending = format!("stream/{}", self.output(stream));
        let mappings = listed["EventSourceMappings"].as_array().unwrap();
        let is_its = |mapping: &&Value| mapping["EventSourceArn"].as_str().unwrap().ends_with(&ending);
        let mapping = mappings.iter().find(is_its).unwrap().clone();
        let one = format!("{all}{}", mapping["UUID"].as_str().unwrap());
        assert!(http.delete(one).send().await.unwrap().status().is_success());
        let mut anew = serde_json::json!({"FunctionName": mapping["FunctionArn"]});
        for field in ["EventSourceArn", "BatchSize", "StartingPosition", "FunctionResponseTypes"] {
            anew[field] = mapping[field].clone();
        }
        let made = http.post(&all).json(&anew).send().await.unwrap();
        assert!(made.status().is_success(), "{}", made.text().await.unwrap());
    }

    /// Returns every record of a stream, shard by shard, each with its partition key and its text.
    pub async fn records(&self, stream: &str) -> Vec<(String, String)> {
        let name = self.output(stream);
        let shards = self.kinesis.list_shards().stream_name(name).send().await.unwrap().shards.unwrap();
        let mut records = Vec::new();
        for shard in shards {
            let from = self.kinesis.get_shard_iterator().stream_name(name).shard_id(shard.shard_id);
            let from = from.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.unwrap();
            let mut iterator = from.shard_iterator;
            while let Some(at) = iterator {
                let page = self.kinesis.get_records().shard_iterator(at).limit(1_000).send().await.unwrap();
                if page.records.is_empty() {
                    break;
                }
                records.extend(page.records.into_iter().map(|record| {
                    let text = String::from_utf8(record.data.into_inner()).unwrap();
                    (record.partition_key.unwrap(), text)
                }));
                iterator = page.next_shard_iterator;
            }
        }
        records
    }

    /// Invokes a function as an event source does: asynchronously, with retries and a destination for failures.
    pub async fn invoke_async(&self, function: &str, event: &Value) {
        let name = self.output(&format!("{function}Name"));
        let url = format!("{}/2015-03-31/functions/{name}/invocations", self.endpoint);
        let request = reqwest::Client::new().post(url).header("x-amz-invocation-type", "Event").json(event);
        assert_eq!(request.send().await.unwrap().status(), 202);
    }

    /// Puts January and February 2021 into history and retrains as of 2021-03-15.
    pub async fn retrain(&self) -> Value {
        for month in ["2021-01", "2021-02"] {
            self.put(&format!("history/green_tripdata_{month}.parquet"), crate::months::green_bytes(month))
                .await;
        }
        let event = serde_json::json!({"now": "2021-03-15"});
        self.invoke("RetrainerFunction", &event)
            .await
            .unwrap_or_else(|error| panic!("retraining failed: {error}"))
    }

    /// Puts an object into the bucket of trips.
    pub async fn put(&self, key: &str, bytes: Bytes) {
        let key = store::ObjectKey::new(key).unwrap();
        self.data().put(&key, bytes, store::Condition::Always).await.unwrap();
    }

    /// Waits for an object in the bucket of trips and returns its bytes.
    pub async fn wait_for(&self, key: &str, seconds: u64) -> Bytes {
        let object = store::ObjectKey::new(key).unwrap();
        let until = Instant::now() + Duration::from_secs(seconds);
        loop {
            match self.data().get(&object, store::Get::default()).await {
                Ok(found) => return found.bytes,
                Err(error) => assert!(Instant::now() < until, "{key} did not appear in {seconds} s: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until a function has taken `count` messages off a queue and not given them back yet.
    pub async fn wait_until_taken(&self, queue: &str, count: usize) {
        let until = Instant::now() + Duration::from_secs(30);
        while self.counted(queue, &[QueueAttributeName::ApproximateNumberOfMessagesNotVisible]).await < count
        {
            assert!(Instant::now() < until, "{count} messages were not taken off {queue}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Sends bodies to a queue, in tens.
    pub async fn send(&self, queue: &str, bodies: &[String]) {
        for ten in bodies.chunks(10) {
            let entries = ten.iter().enumerate().map(|(at, body)| {
                SendMessageBatchRequestEntry::builder().id(at.to_string()).message_body(body).build().unwrap()
            });
            let sent = self.sqs.send_message_batch().queue_url(self.output(queue));
            let sent = sent.set_entries(Some(entries.collect())).send().await.unwrap();
            assert!(sent.failed.is_empty(), "{:?}", sent.failed);
        }
    }

    /// Takes messages off a queue until there are `count` and then none for two seconds, and returns them all.
    pub async fn receive(&self, queue: &str, count: usize, seconds: u64) -> Vec<Message> {
        let (mut messages, until) = (Vec::new(), Instant::now() + Duration::from_secs(seconds));
        let mut quiet = Instant::now();
        while Instant::now() < until && (messages.len() < count || quiet.elapsed() < Duration::from_secs(2)) {
            let received =
                self.sqs.receive_message().queue_url(self.output(queue)).max_number_of_messages(10);
            let received = received.message_attribute_names("All");
            let received =
                received.message_system_attribute_names(MessageSystemAttributeName::All).send().await;
            let received = received.unwrap().messages.unwrap_or_default();
            for message in &received {
                let handle = message.receipt_handle.as_deref().unwrap();
                self.sqs
                    .delete_message()
                    .queue_url(self.output(queue))
                    .receipt_handle(handle)
                    .send()
                    .await
                    .unwrap();
            }
            if received.is_empty() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            } else {
                quiet = Instant::now();
            }
            messages.extend(received);
        }
        messages
    }

    /// Returns the number of messages of a queue, waiting and in flight.
    pub async fn depth(&self, queue: &str) -> usize {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        self.counted(queue, &names).await
    }

    async fn counted(&self, queue: &str, names: &[QueueAttributeName]) -> usize {
        let asked = self.sqs.get_queue_attributes().queue_url(self.output(queue));
        let asked = asked.set_attribute_names(Some(names.to_vec())).send().await.unwrap();
        asked.attributes.unwrap_or_default().values().map(|count| count.parse::<usize>().unwrap()).sum()
    }
}

/// Creates a secret on the local AWS, and returns its ARN.
pub async fn secret(name: &str, text: &str) -> String {
    let request = serde_json::json!({"Name": name, "SecretString": text});
    let made = call(&endpoint(), "secretsmanager", "secretsmanager.CreateSecret", &request).await;
    made["ARN"].as_str().unwrap().to_string()
}

fn port() -> String {
    crate::variable("LOCAL_AWS_PORT").expect("the local AWS is not up: run `make e2e`")
}

fn endpoint() -> String {
    format!("http://127.0.0.1:{}", port())
}

/// Calls an action of a service whose protocol is JSON.
async fn call(endpoint: &str, service: &str, target: &str, request: &Value) -> Value {
    let call = reqwest::Client::new().post(endpoint).header("x-amz-target", target);
    // The local AWS reads the service from the signature and checks no more of it.
    let scope = format!("AWS4-HMAC-SHA256 Credential=test/20210101/us-east-1/{service}/aws4_request");
    let call = call.header("content-type", "application/x-amz-json-1.0").header("authorization", scope);
    let answer = call.body(request.to_string()).send().await.unwrap();
    assert!(answer.status().is_success(), "{target}: {}", answer.status());
    answer.json().await.unwrap()
}

/// Returns the text of a message attribute.
pub fn attribute<'a>(message: &'a Message, name: &str) -> &'a str {
    let found = message.message_attributes.as_ref().and_then(|attributes| attributes.get(name));
    found.and_then(|value| value.string_value.as_deref()).unwrap_or_default()
}
