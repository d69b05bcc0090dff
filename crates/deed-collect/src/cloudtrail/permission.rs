//! The IAM action that a call needs, as AWS's Service Authorization Reference names it.
//!
//! CloudTrail names the operation of the API. Most services call the action that guards it the same, and some do not:
//! `s3:HeadObject` needs `s3:GetObject`. Grants and contracts name actions, so that an operation's name may be held against
//! them only where it is known what it needs. Both tables stand in `docs/collectors.md`.

use super::event::Event;

/// Services whose actions are named as their operations are, but for those of [`OTHERWISE`].
const ALIKE: &[&str] = &[
    "access-analyzer",
    "acm",
    "acm-pca",
    "athena",
    "autoscaling",
    "backup",
    "batch",
    "bedrock",
    "cloudformation",
    "cloudfront",
    "cloudtrail",
    "codebuild",
    "codecommit",
    "codedeploy",
    "codepipeline",
    "config",
    "dms",
    "dynamodb",
    "ec2",
    "ecr",
    "ecs",
    "eks",
    "elasticache",
    "elasticfilesystem",
    "elasticloadbalancing",
    "elasticmapreduce",
    "events",
    "firehose",
    "glue",
    "guardduty",
    "iam",
    "inspector2",
    "kinesis",
    "kms",
    "lambda",
    "logs",
    "monitoring",
    "organizations",
    "ram",
    "rds",
    "redshift",
    "redshift-data",
    "route53",
    "s3",
    "sagemaker",
    "secretsmanager",
    "sns",
    "sqs",
    "ssm",
    "states",
    "sts",
];

/// Services that IAM calls otherwise than CloudTrail does.
const SERVICES: &[(&str, &str)] = &[("monitoring", "cloudwatch")];

/// What needs several actions, or one of several that the event does not tell apart.
const SEVERAL: &str = "";

/// Operations whose action is named otherwise.
const OTHERWISE: &[(&str, &[(&str, &str)])] = &[
    ("bedrock", &[("Converse", "InvokeModel"), ("ConverseStream", "InvokeModelWithResponseStream")]),
    (
        "cloudfront",
        &[("CreateDistributionWithTags", SEVERAL), ("CreateStreamingDistributionWithTags", SEVERAL)],
    ),
    (
        "dynamodb",
        &[
            ("BatchExecuteStatement", SEVERAL),
            ("ExecuteStatement", SEVERAL),
            ("ExecuteTransaction", SEVERAL),
            ("TransactGetItems", "GetItem"),
            ("TransactWriteItems", SEVERAL),
        ],
    ),
    ("kms", &[("ReEncrypt", SEVERAL)]),
    (
        "lambda",
        &[
            ("GetLayerVersionByArn", "GetLayerVersion"),
            ("Invoke", "InvokeFunction"),
            ("InvokeAsync", "InvokeFunction"),
            ("InvokeWithResponseStream", "InvokeFunction"),
        ],
    ),
    (
        "s3",
        &[
            ("CompleteMultipartUpload", "PutObject"),
            ("CopyObject", SEVERAL),
            ("CreateMultipartUpload", "PutObject"),
            ("DeleteBucketAnalyticsConfiguration", "PutAnalyticsConfiguration"),
            ("DeleteBucketCors", "PutBucketCORS"),
            ("DeleteBucketEncryption", "PutEncryptionConfiguration"),
            ("DeleteBucketIntelligentTieringConfiguration", "PutIntelligentTieringConfiguration"),
            ("DeleteBucketInventoryConfiguration", "PutInventoryConfiguration"),
            ("DeleteBucketLifecycle", "PutLifecycleConfiguration"),
            ("DeleteBucketMetricsConfiguration", "PutMetricsConfiguration"),
            ("DeleteBucketOwnershipControls", "PutBucketOwnershipControls"),
            ("DeleteBucketPublicAccessBlock", "PutBucketPublicAccessBlock"),
            ("DeleteBucketReplication", "PutReplicationConfiguration"),
            ("DeleteBucketTagging", "PutBucketTagging"),
            ("DeleteObjects", "DeleteObject"),
            ("DeletePublicAccessBlock", "PutBucketPublicAccessBlock"),
            ("GetBucketAccelerateConfiguration", "GetAccelerateConfiguration"),
            ("GetBucketAnalyticsConfiguration", "GetAnalyticsConfiguration"),
            ("GetBucketCors", "GetBucketCORS"),
            ("GetBucketEncryption", "GetEncryptionConfiguration"),
            ("GetBucketIntelligentTieringConfiguration", "GetIntelligentTieringConfiguration"),
            ("GetBucketInventoryConfiguration", "GetInventoryConfiguration"),
            ("GetBucketLifecycle", "GetLifecycleConfiguration"),
            ("GetBucketLifecycleConfiguration", "GetLifecycleConfiguration"),
            ("GetBucketMetricsConfiguration", "GetMetricsConfiguration"),
            ("GetBucketNotificationConfiguration", "GetBucketNotification"),
            ("GetBucketReplication", "GetReplicationConfiguration"),
            ("GetObjectAttributes", SEVERAL),
            ("GetObjectLockConfiguration", "GetBucketObjectLockConfiguration"),
            ("GetPublicAccessBlock", "GetBucketPublicAccessBlock"),
            ("HeadBucket", "ListBucket"),
            ("HeadObject", "GetObject"),
            ("ListBucketAnalyticsConfigurations", "GetAnalyticsConfiguration"),
            ("ListBucketIntelligentTieringConfigurations", "GetIntelligentTieringConfiguration"),
            ("ListBucketInventoryConfigurations", "GetInventoryConfiguration"),
            ("ListBucketMetricsConfigurations", "GetMetricsConfiguration"),
            ("ListBuckets", "ListAllMyBuckets"),
            ("ListMultipartUploads", "ListBucketMultipartUploads"),
            ("ListObjectVersions", "ListBucketVersions"),
            ("ListObjects", "ListBucket"),
            ("ListObjectsV2", "ListBucket"),
            ("ListParts", "ListMultipartUploadParts"),
            ("PutBucketAccelerateConfiguration", "PutAccelerateConfiguration"),
            ("PutBucketAnalyticsConfiguration", "PutAnalyticsConfiguration"),
            ("PutBucketCors", "PutBucketCORS"),
            ("PutBucketEncryption", "PutEncryptionConfiguration"),
            ("PutBucketIntelligentTieringConfiguration", "PutIntelligentTieringConfiguration"),
            ("PutBucketInventoryConfiguration", "PutInventoryConfiguration"),
            ("PutBucketLifecycle", "PutLifecycleConfiguration"),
            ("PutBucketLifecycleConfiguration", "PutLifecycleConfiguration"),
            ("PutBucketMetricsConfiguration", "PutMetricsConfiguration"),
            ("PutBucketNotificationConfiguration", "PutBucketNotification"),
            ("PutBucketReplication", "PutReplicationConfiguration"),
            ("PutObjectLockConfiguration", "PutBucketObjectLockConfiguration"),
            ("PutPublicAccessBlock", "PutBucketPublicAccessBlock"),
            ("SelectObjectContent", "GetObject"),
            ("UploadPart", "PutObject"),
            ("UploadPartCopy", SEVERAL),
        ],
    ),
    ("sns", &[("PublishBatch", "Publish")]),
    (
        "sqs",
        &[
            ("ChangeMessageVisibilityBatch", "ChangeMessageVisibility"),
            ("DeleteMessageBatch", "DeleteMessage"),
            ("SendMessageBatch", "SendMessage"),
        ],
    ),
];

/// Actions of S3 that are others for a version of an object.
const OF_A_VERSION: &[(&str, &str)] = &[
    ("DeleteObject", "DeleteObjectVersion"),
    ("DeleteObjectTagging", "DeleteObjectVersionTagging"),
    ("GetObject", "GetObjectVersion"),
    ("GetObjectAcl", "GetObjectVersionAcl"),
    ("GetObjectTagging", "GetObjectVersionTagging"),
    ("PutObjectAcl", "PutObjectVersionAcl"),
    ("PutObjectTagging", "PutObjectVersionTagging"),
];

/// The IAM action that the call of `event` needs; `None` where that is not known, or is not one.
pub(super) fn of(event: &Event) -> Option<String> {
    let (service, operation) = (event.service(), event.action());
    ALIKE.contains(&service).then_some(())?;
    let others = OTHERWISE.iter().find(|(named, _)| *named == service).map_or(&[][..], |(_, others)| *others);
    let action = renamed(others, operation);
    let of_version = service == "s3" && event.asked("versionId").is_some();
    let action = if of_version { renamed(OF_A_VERSION, action) } else { action };
    (action != SEVERAL).then(|| format!("{}:{action}", renamed(SERVICES, service)))
}

fn renamed<'n>(names: &[(&str, &'n str)], name: &'n str) -> &'n str {
    names.iter().find(|(from, _)| *from == name).map_or(name, |(_, to)| to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_event(source: &str, name: &str, asked: serde_json::Value) -> Option<String> {
        let event = serde_json::json!({
            "eventID": "1", "eventTime": "2024-08-01T13:29:57Z", "eventSource": format!("{source}.amazonaws.com"),
            "eventName": name, "requestParameters": asked,
        });
        of(&Event::new(event).expect("an event"))
    }

    #[test]
    fn a_call_is_named_by_the_action_that_guards_it() {
        for (source, name, action) in [
            ("lambda", "Invoke", Some("lambda:InvokeFunction")),
            ("lambda", "UpdateFunctionCode20150331v2", Some("lambda:UpdateFunctionCode")),
            ("s3", "HeadObject", Some("s3:GetObject")),
            ("s3", "ListObjectsV2", Some("s3:ListBucket")),
            ("s3", "ListBuckets", Some("s3:ListAllMyBuckets")),
            ("s3", "UploadPart", Some("s3:PutObject")),
            ("s3", "DeleteBucket", Some("s3:DeleteBucket")),
            ("monitoring", "PutMetricAlarm", Some("cloudwatch:PutMetricAlarm")),
            // Several actions, or one of several.
            ("s3", "CopyObject", None),
            ("kms", "ReEncrypt", None),
            ("dynamodb", "ExecuteStatement", None),
            // Actions of API Gateway are verbs of HTTP.
            ("apigateway", "CreateRestApi", None),
            ("some-new-service", "CreateThing", None),
        ] {
            assert_eq!(of_event(source, name, serde_json::Value::Null).as_deref(), action, "{source}:{name}");
        }
        let version = serde_json::json!({ "bucketName": "b", "versionId": "v" });
        assert_eq!(of_event("s3", "HeadObject", version).as_deref(), Some("s3:GetObjectVersion"));
    }

    #[test]
    fn the_documentation_has_the_tables() {
        let docs = include_str!("../../../../docs/collectors.md");
        let (_, docs) = docs.split_once("### The IAM action of a call").expect("the section");
        let docs = docs.split("\n### ").next().unwrap_or_default();
        let row = |service: &str| docs.lines().find(|line| line.starts_with(&format!("| {service} |")));
        for (service, others) in OTHERWISE {
            let row = row(&format!("`{service}`")).expect(service);
            for (from, to) in *others {
                let to = if *to == SEVERAL { "none".to_owned() } else { format!("`{to}`") };
                assert!(row.contains(&format!("`{from}` → {to}")), "{service}: {from}");
            }
            assert_eq!(row.matches('→').count(), others.len(), "{service}");
        }
        let of_versions = row("`s3`, with a `versionId`").expect("versions");
        for (from, to) in OF_A_VERSION {
            assert!(of_versions.contains(&format!("`{from}` → `{to}`")), "{from}");
        }
        let alike =
            docs.lines().find(|line| line.starts_with("Operations are named as")).expect("the sentence");
        for service in ALIKE {
            assert!(alike.contains(&format!("`{service}`")), "{service}");
        }
        // And what IAM calls otherwise.
        assert_eq!(alike.matches('`').count(), 2 * (ALIKE.len() + SERVICES.len()));
        assert_eq!(of_versions.matches('→').count(), OF_A_VERSION.len());
    }
}
