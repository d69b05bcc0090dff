//! An event, read without trusting its shape.

use deed_record::Timestamp;
use serde_json::Value;

use super::time;
use crate::json;

/// A CloudTrail event. Every look into it is an `Option`: events of twelve years, of two hundred
/// services and of tools that rewrote them agree on little.
pub(super) struct Event {
    value: Value,
    pub(super) id: String,
    pub(super) time: Timestamp,
}

/// The `eventType` of what sums up the data events of some minutes.
pub(crate) const AGGREGATED: &str = "AwsAggregatedEvent";

impl Event {
    /// Of an object.
    pub(super) fn new(value: Value) -> Result<Self, String> {
        let id = match value.get("eventID") {
            None if value.get("eventType").is_some_and(|of| of == AGGREGATED) => {
                return Err("an aggregated event, which sums up others and tells of no single one".to_owned());
            }
            None => return Err("field `eventID`: missing".to_owned()),
            Some(Value::String(id)) if id.is_empty() => return Err("field `eventID`: empty".to_owned()),
            Some(Value::String(id)) => id.clone(),
            Some(other) => {
                return Err(format!("field `eventID`: expected a string, found {}", json::kind_of(other)));
            }
        };
        let time = match value.get("eventTime") {
            None => return Err("field `eventTime`: missing".to_owned()),
            Some(Value::String(text)) => {
                let time = time::of_event(text).map_err(|error| format!("field `eventTime`: {error}"))?;
                if !time.is_of_event() {
                    return Err(format!(
                        "field `eventTime`: expected a time from 1970 to 2199, found `{time}`"
                    ));
                }
                time
            }
            Some(other) => {
                return Err(format!(
                    "field `eventTime`: expected an RFC 3339 time, found {}",
                    json::kind_of(other)
                ));
            }
        };
        Ok(Event { value, id, time })
    }

    /// What stands at `path`.
    pub(super) fn get(&self, path: &[&str]) -> Option<&Value> {
        path.iter().try_fold(&self.value, |value, name| value.get(name))
    }

    /// The string at `path`, where it is one and not empty.
    pub(super) fn text(&self, path: &[&str]) -> Option<&str> {
        self.get(path)?.as_str().filter(|text| !text.is_empty())
    }

    /// A string among the request's parameters.
    pub(super) fn asked(&self, name: &str) -> Option<&str> {
        self.text(&["requestParameters", name])
    }

    /// `eventSource` without `.amazonaws.com`.
    pub(super) fn service(&self) -> &str {
        let source = self.text(&["eventSource"]).unwrap_or_default();
        source.strip_suffix(".amazonaws.com").unwrap_or(source)
    }

    /// `eventName`.
    pub(super) fn name(&self) -> Option<&str> {
        self.text(&["eventName"])
    }

    /// `s3:DeleteBucket`.
    pub(super) fn operation(&self) -> Option<String> {
        let name = self.name().or_else(|| self.text(&["eventType"]))?;
        let service = self.service();
        Some(if service.is_empty() { name.to_owned() } else { format!("{service}:{name}") })
    }

    /// `eventName` without the API version that Lambda and CloudFront put behind it (`UpdateFunctionCode20150331v2`,
    /// `CreateDistribution2020_05_31`).
    pub(super) fn action(&self) -> &str {
        let name = self.name().unwrap_or_default();
        let letters = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '_' || c == 'v');
        let version = &name[letters.len()..];
        let digits = version
            .bytes()
            .take_while(|b| b.is_ascii_digit() || *b == b'_')
            .filter(u8::is_ascii_digit)
            .count();
        if digits == 8 && version.starts_with("20") { letters } else { name }
    }

    /// Whether it reports somebody's call of an API that IAM guards.
    pub(super) fn is_request(&self) -> bool {
        self.name().is_some()
            && matches!(self.text(&["eventType"]), None | Some("AwsApiCall" | "AwsVpceEvent"))
    }

    /// Whether it reports a call at all, so that the absence of an error means success.
    pub(super) fn is_call(&self) -> bool {
        self.is_request()
            || matches!(self.text(&["eventType"]), Some("AwsConsoleSignIn" | "AwsConsoleAction"))
    }

    /// Whether the call was made and nothing says that it failed.
    pub(super) fn succeeded(&self) -> bool {
        self.is_call() && self.text(&["errorCode"]).is_none() && self.text(&["errorMessage"]).is_none()
    }

    /// The account whose trail it is in.
    pub(super) fn account(&self) -> Option<&str> {
        self.text(&["recipientAccountId"]).or_else(|| self.text(&["userIdentity", "accountId"]))
    }

    /// `cloudtrail:111122223333`.
    pub(super) fn system(&self) -> String {
        format!("cloudtrail:{}", self.account().unwrap_or("unknown"))
    }

    /// The partition of the caller's ARN, else that of the region.
    pub(super) fn partition(&self) -> &str {
        let arn = self
            .text(&["userIdentity", "arn"])
            .or_else(|| self.text(&["userIdentity", "sessionContext", "sessionIssuer", "arn"]));
        if let Some(partition) = arn.and_then(|arn| arn.strip_prefix("arn:")?.split(':').next())
            && !partition.is_empty()
        {
            return partition;
        }
        match self.text(&["awsRegion"]) {
            Some(region) if region.starts_with("cn-") => "aws-cn",
            Some(region) if region.starts_with("us-gov-") => "aws-us-gov",
            _ => "aws",
        }
    }

    /// `arn:aws:iam::111122223333:user/ann`, for what IAM calls `user`, `role`, `group`, `policy`.
    ///
    /// Requests name such a thing without its path. Names are unique in an account whatever the path,
    /// so that this never names another one.
    pub(super) fn iam_arn(&self, what: &str, name: &str) -> String {
        format!("arn:{}:iam::{}:{what}/{name}", self.partition(), self.account().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_versions_are_no_part_of_an_action() {
        for (name, action) in [
            ("UpdateFunctionCode20150331v2", "UpdateFunctionCode"),
            ("CreateDistribution2020_05_31", "CreateDistribution"),
            ("DeleteBucket", "DeleteBucket"),
            ("ListObjectsV2", "ListObjectsV2"),
            ("Describe2", "Describe2"),
            ("Approv", "Approv"),
        ] {
            let value =
                serde_json::json!({"eventID": "1", "eventTime": "2024-08-01T13:29:57Z", "eventName": name});
            assert_eq!(Event::new(value).expect("an event").action(), action);
        }
    }
}
