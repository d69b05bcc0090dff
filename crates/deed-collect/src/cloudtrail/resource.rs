//! What a call acted upon.

use deed_record::{Resource, Text};
use serde_json::Value;

use super::event::Event;
use crate::{authority, json};

/// The resource: what the event lists itself, else what a well-known parameter names.
///
/// Several may be listed and a record has one: the first that has an ARN. The event has them all.
pub(super) fn resource(event: &Event) -> Option<Resource<'static>> {
    listed(event).or_else(|| named(event)).or_else(|| answered(event))
}

/// From the ARN of something that AWS names.
pub(super) fn of_arn(arn: &str, kind: Option<&str>) -> Resource<'static> {
    Resource {
        classification: None,
        kind: kind.or_else(|| type_of_arn(arn)).map(|kind| Text::from(kind.to_owned())),
        uri: json::text(authority::without_address(arn).to_owned()),
    }
}

/// `resources`: lists of `{"ARN", "accountId", "type"}`.
fn listed(event: &Event) -> Option<Resource<'static>> {
    let all = event.get(&["resources"])?.as_array()?;
    let text = |item: &Value, name: &str| {
        item.get(name).and_then(Value::as_str).filter(|t| !t.is_empty()).map(str::to_owned)
    };
    all.iter().find_map(|item| {
        let arn = text(item, "ARN").or_else(|| text(item, "arn"))?;
        Some(of_arn(&arn, text(item, "type").as_deref()))
    })
}

/// One way in which requests name what they act upon.
struct Named {
    service: &'static str,
    /// JSON pointer into `requestParameters`.
    parameter: &'static str,
    kind: &'static str,
    /// The ARN after the partition: `{r}` region, `{a}` account, `{}` the value.
    arn: &'static str,
}

const fn by(service: &'static str, parameter: &'static str, kind: &'static str, arn: &'static str) -> Named {
    Named { service, parameter, kind, arn }
}

/// What a call acts upon stands before what it acts with.
const NAMED: &[Named] = &[
    by("s3", "/bucketName", "AWS::S3::Bucket", "s3:::{}"),
    by("sts", "/roleArn", "AWS::IAM::Role", ""),
    by("iam", "/instanceProfileName", "AWS::IAM::InstanceProfile", "iam::{a}:instance-profile/{}"),
    by("iam", "/roleName", "AWS::IAM::Role", "iam::{a}:role/{}"),
    by("iam", "/groupName", "AWS::IAM::Group", "iam::{a}:group/{}"),
    by("iam", "/userName", "AWS::IAM::User", "iam::{a}:user/{}"),
    by("iam", "/policyArn", "AWS::IAM::Policy", ""),
    by("iam", "/policyName", "AWS::IAM::Policy", "iam::{a}:policy/{}"),
    by("ec2", "/instanceId", "AWS::EC2::Instance", "ec2:{r}:{a}:instance/{}"),
    by("ec2", "/instancesSet/items/0/instanceId", "AWS::EC2::Instance", "ec2:{r}:{a}:instance/{}"),
    by("ec2", "/snapshotId", "AWS::EC2::Snapshot", "ec2:{r}:{a}:snapshot/{}"),
    by("ec2", "/imageId", "AWS::EC2::Image", "ec2:{r}::image/{}"),
    by("ec2", "/volumeId", "AWS::EC2::Volume", "ec2:{r}:{a}:volume/{}"),
    by("ec2", "/groupId", "AWS::EC2::SecurityGroup", "ec2:{r}:{a}:security-group/{}"),
    by("ec2", "/networkInterfaceId", "AWS::EC2::NetworkInterface", "ec2:{r}:{a}:network-interface/{}"),
    by("ec2", "/vpcId", "AWS::EC2::VPC", "ec2:{r}:{a}:vpc/{}"),
    by("ec2", "/subnetId", "AWS::EC2::Subnet", "ec2:{r}:{a}:subnet/{}"),
    by("ec2", "/DeleteFlowLogsRequest/FlowLogId/content", "AWS::EC2::FlowLog", "ec2:{r}:{a}:vpc-flow-log/{}"),
    by("ec2-instance-connect", "/instanceId", "AWS::EC2::Instance", "ec2:{r}:{a}:instance/{}"),
    by("ssm", "/instanceId", "AWS::EC2::Instance", "ec2:{r}:{a}:instance/{}"),
    by("ssm", "/instanceIds/0", "AWS::EC2::Instance", "ec2:{r}:{a}:instance/{}"),
    by("ssm", "/target", "AWS::EC2::Instance", "ec2:{r}:{a}:instance/{}"),
    by("ssm", "/sessionId", "AWS::SSM::Session", "ssm:{r}:{a}:session/{}"),
    by("lambda", "/functionName", "AWS::Lambda::Function", "lambda:{r}:{a}:function:{}"),
    by("lambda", "/layerName", "AWS::Lambda::LayerVersion", "lambda:{r}:{a}:layer:{}"),
    by("secretsmanager", "/secretId", "AWS::SecretsManager::Secret", "secretsmanager:{r}:{a}:secret:{}"),
    by("secretsmanager", "/name", "AWS::SecretsManager::Secret", "secretsmanager:{r}:{a}:secret:{}"),
    by("kms", "/keyId", "AWS::KMS::Key", "kms:{r}:{a}:key/{}"),
    by("cloudtrail", "/trailName", "AWS::CloudTrail::Trail", "cloudtrail:{r}:{a}:trail/{}"),
    by("cloudtrail", "/name", "AWS::CloudTrail::Trail", "cloudtrail:{r}:{a}:trail/{}"),
    by("dynamodb", "/tableName", "AWS::DynamoDB::Table", "dynamodb:{r}:{a}:table/{}"),
    by("rds", "/dBInstanceIdentifier", "AWS::RDS::DBInstance", "rds:{r}:{a}:db:{}"),
    by("rds", "/dBClusterIdentifier", "AWS::RDS::DBCluster", "rds:{r}:{a}:cluster:{}"),
    by("rds", "/dBSnapshotIdentifier", "AWS::RDS::DBSnapshot", "rds:{r}:{a}:snapshot:{}"),
    by("sns", "/topicArn", "AWS::SNS::Topic", ""),
    by("sqs", "/queueUrl", "AWS::SQS::Queue", ""),
    by("states", "/stateMachineArn", "AWS::StepFunctions::StateMachine", ""),
    by("logs", "/logGroupName", "AWS::Logs::LogGroup", "logs:{r}:{a}:log-group:{}"),
    by("cloudformation", "/stackName", "AWS::CloudFormation::Stack", "cloudformation:{r}:{a}:stack/{}"),
    by("ecr", "/repositoryName", "AWS::ECR::Repository", "ecr:{r}:{a}:repository/{}"),
    by("ecs", "/cluster", "AWS::ECS::Cluster", "ecs:{r}:{a}:cluster/{}"),
    by("eks", "/name", "AWS::EKS::Cluster", "eks:{r}:{a}:cluster/{}"),
    by("bedrock", "/modelId", "AWS::Bedrock::FoundationModel", "bedrock:{r}::foundation-model/{}"),
    by("route53", "/hostedZoneId", "AWS::Route53::HostedZone", "route53:::hostedzone/{}"),
    by(
        "route53resolver",
        "/resolverQueryLogConfigId",
        "AWS::Route53Resolver::ResolverQueryLoggingConfig",
        "route53resolver:{r}:{a}:resolver-query-log-config/{}",
    ),
    by("guardduty", "/detectorId", "AWS::GuardDuty::Detector", "guardduty:{r}:{a}:detector/{}"),
    // Any other service.
    by("", "/resourceArn", "", ""),
    by("", "/resourceARN", "", ""),
    by("", "/arn", "", ""),
];

fn named(event: &Event) -> Option<Resource<'static>> {
    if event.service() == "ssm" && event.action().contains("Parameter") {
        return parameter(event);
    }
    let asked = event.get(&["requestParameters"])?;
    NAMED.iter().filter(|named| named.service.is_empty() || named.service == event.service()).find_map(
        |named| {
            let value = asked.pointer(named.parameter)?.as_str().filter(|value| !value.is_empty())?;
            let kind = (!named.kind.is_empty()).then_some(named.kind);
            if value.starts_with("arn:") {
                return Some(of_arn(value, kind));
            }
            match (named.service, named.arn) {
                ("", _) => None,
                ("sqs", _) => Some(of_arn(value, kind)),
                (_, "") => None,
                ("kms", _) if value.starts_with("alias/") => {
                    Some(of_arn(&expand(event, "kms:{r}:{a}:{}", value), Some("AWS::KMS::Alias")))
                }
                (_, arn) => Some(of_arn(&expand(event, arn, value), kind)),
            }
        },
    )
}

/// Parameters of Systems Manager, whose names may begin with a slash that their ARN shares.
fn parameter(event: &Event) -> Option<Resource<'static>> {
    let asked = event.get(&["requestParameters"])?;
    let name = ["/name", "/names/0", "/path"].iter().find_map(|at| asked.pointer(at)?.as_str())?;
    if name.starts_with("arn:") {
        return Some(of_arn(name, Some("AWS::SSM::Parameter")));
    }
    let arn = expand(event, "ssm:{r}:{a}:parameter/{}", name.strip_prefix('/').unwrap_or(name));
    Some(of_arn(&arn, Some("AWS::SSM::Parameter")))
}

/// What a call that creates something names only in its answer.
fn answered(event: &Event) -> Option<Resource<'static>> {
    let answer = event.get(&["responseElements"])?;
    let at = match event.service() {
        "rolesanywhere" => ["/trustAnchor/trustAnchorArn", "/profile/profileArn"].as_slice(),
        "iam" => &["/role/arn", "/user/arn", "/policy/arn", "/group/arn"],
        "ec2" => &["/instancesSet/items/0/instanceId"],
        _ => &["/arn", "/resourceArn"],
    };
    let value = at.iter().find_map(|at| answer.pointer(at)?.as_str().filter(|value| !value.is_empty()))?;
    if event.service() == "ec2" {
        return Some(of_arn(&expand(event, "ec2:{r}:{a}:instance/{}", value), Some("AWS::EC2::Instance")));
    }
    value.starts_with("arn:").then(|| of_arn(value, None))
}

fn expand(event: &Event, template: &str, value: &str) -> String {
    let region = event.text(&["awsRegion"]).unwrap_or_default();
    let account = event.account().unwrap_or_default();
    let filled = template.replace("{r}", region).replace("{a}", account).replace("{}", value);
    format!("arn:{}:{filled}", event.partition())
}

/// The CloudFormation type of what an ARN names, for the services whose events leave it out.
fn type_of_arn(arn: &str) -> Option<&'static str> {
    let mut parts = arn.splitn(6, ':').skip(2);
    let (service, _region, _account, what) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let sort = what.split(['/', ':']).next().unwrap_or_default();
    Some(match (service, sort) {
        ("iam", "role") => "AWS::IAM::Role",
        ("iam", "user") => "AWS::IAM::User",
        ("iam", "group") => "AWS::IAM::Group",
        ("iam", "policy") => "AWS::IAM::Policy",
        ("s3", _) if what.contains('/') => "AWS::S3::Object",
        ("s3", _) => "AWS::S3::Bucket",
        ("lambda", "function") => "AWS::Lambda::Function",
        ("secretsmanager", "secret") => "AWS::SecretsManager::Secret",
        ("ssm", "parameter") => "AWS::SSM::Parameter",
        ("ssm", "document") => "AWS::SSM::Document",
        ("kms", "key") => "AWS::KMS::Key",
        ("kms", "alias") => "AWS::KMS::Alias",
        ("dynamodb", "table") => "AWS::DynamoDB::Table",
        ("ec2", "instance") => "AWS::EC2::Instance",
        ("ec2", "snapshot") => "AWS::EC2::Snapshot",
        ("sns", _) => "AWS::SNS::Topic",
        ("sqs", _) => "AWS::SQS::Queue",
        ("logs", "log-group") => "AWS::Logs::LogGroup",
        ("rds", "db") => "AWS::RDS::DBInstance",
        ("rds", "cluster") => "AWS::RDS::DBCluster",
        ("cloudtrail", "trail") => "AWS::CloudTrail::Trail",
        ("rolesanywhere", "trust-anchor") => "AWS::RolesAnywhere::TrustAnchor",
        ("rolesanywhere", "profile") => "AWS::RolesAnywhere::Profile",
        _ => return None,
    })
}
