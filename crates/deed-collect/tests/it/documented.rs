//! What the documentation says of every collector.

use deed_collect::{cloudtrail, entra, github, kubernetes, okta, otlp, ssf, teleport, vault};

#[test]
fn the_version_of_each_mapping_is_the_documented_one() {
    let documentation = include_str!("../../../../docs/collectors.md");
    for mapping in [
        cloudtrail::MAPPING,
        entra::MAPPING,
        github::MAPPING,
        kubernetes::MAPPING,
        okta::MAPPING,
        otlp::MAPPING,
        ssf::MAPPING,
        teleport::MAPPING,
        vault::MAPPING,
    ] {
        assert!(documentation.contains(&format!("| `{mapping}` |")), "{mapping}");
    }
}
