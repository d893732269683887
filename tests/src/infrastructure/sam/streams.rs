//! The streams of template.yaml, and what reads them.

use serde_json::Value;

use super::super::Collected;
use super::Sam;

impl Sam<'_> {
    /// Reads a stream, or the mapping of one to a function.
    pub(super) fn stream(&self, name: &str, of: &Value, into: &mut Collected) {
        let encryption = &of["StreamEncryption"];
        for (field, value) in [
            ("shards", &of["ShardCount"]),
            ("retention_h", &of["RetentionPeriodHours"]),
            ("encryption", &encryption["EncryptionType"]),
            ("key", &encryption["KeyId"]),
        ] {
            into.put(format!("stream.{name}.{field}"), self.text(value));
        }
        for (field, value) in [
            ("stream", &of["EventSourceArn"]),
            ("from", &of["StartingPosition"]),
            ("batch", &of["BatchSize"]),
            ("window_s", &of["MaximumBatchingWindowInSeconds"]),
            ("halves", &of["BisectBatchOnFunctionError"]),
            ("retries", &of["MaximumRetryAttempts"]),
            ("age_s", &of["MaximumRecordAgeInSeconds"]),
            ("dead_letters", &of["DestinationConfig"]["OnFailure"]["Destination"]),
        ] {
            into.put(format!("trigger.{name}.{field}"), self.text(value));
        }
        let function = self.text(&of["FunctionName"]).replace(".name}", ".arn}");
        into.put(format!("trigger.{name}.function"), function);
        into.list(format!("trigger.{name}.responses"), self.texts(&of["FunctionResponseTypes"]));
    }
}
