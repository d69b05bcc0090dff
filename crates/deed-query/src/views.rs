//! Tables that are nothing but a query over `records`.

/// A view.
pub(crate) struct View {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it selects.
    pub(crate) sql: &'static str,
}

/// The views, each over `records` or over one before it.
pub(crate) const VIEWS: &[View] = &[
    View { name: "authority", sql: AUTHORITY },
    View { name: "credentials", sql: CREDENTIALS },
    View { name: "grants", sql: GRANTS },
    View { name: "approvals", sql: APPROVALS },
    View { name: "delegations", sql: DELEGATIONS },
    View { name: "principals", sql: PRINCIPALS },
];

/// Everything a record says about authority: of its own (`effect` is 0), or as an effect of the event
/// it is about.
const AUTHORITY: &str = "
    SELECT leaf_index, CAST(0 AS BIGINT) AS effect, id AS record, kind, time, recorded, tenant, environment, basis,
           source_system, action, request,
           terms_change AS change, terms_answer AS answer,
           terms_by AS by, terms_by_type AS by_type,
           terms_subject AS subject, terms_subject_type AS subject_type, terms_subject_vendor AS subject_vendor,
           terms_role AS role, terms_scopes AS scopes, terms_not_before AS not_before, terms_expires AS expires,
           credential, credential_id, credential_type, credential_issuer, credential_issued, credential_expires,
           credential_parent, credential_scopes,
           resource_uri, resource_type, classification
    FROM records
    WHERE kind IN ('principal', 'request', 'approval', 'grant', 'credential', 'policy', 'tool', 'exception')
    UNION ALL
    SELECT leaf_index, e['effect'], id, e['kind'], time, recorded, tenant, environment, basis,
           source_system, coalesce(action, id), request,
           e['change'], e['answer'],
           e['by'], e['by_type'],
           e['subject'], e['subject_type'], e['subject_vendor'],
           e['role'], e['scopes'], e['not_before'], e['expires'],
           e['credential'], e['credential_id'], e['credential_type'], e['credential_issuer'], e['credential_issued'],
           e['credential_expires'], e['credential_parent'], e['credential_scopes'],
           e['resource_uri'], e['resource_type'], e['classification']
    FROM (SELECT leaf_index, id, time, recorded, tenant, environment, basis, source_system, action, request,
                 unnest(effects) AS e
          FROM records WHERE effects IS NOT NULL)";

const CREDENTIALS: &str = "
    SELECT leaf_index, record, time, recorded, tenant, basis, source_system, action,
           credential, credential_id, credential_type, credential_issuer, credential_parent, credential_scopes,
           credential_issued, credential_expires, change, subject, subject_type, subject_vendor, by, by_type
    FROM authority WHERE kind = 'credential'";

const GRANTS: &str = "
    SELECT leaf_index, record, time, recorded, tenant, environment, basis, source_system, action, request,
           change, subject, subject_type, subject_vendor, by, by_type, role, scopes,
           resource_uri, resource_type, classification, not_before, expires
    FROM authority WHERE kind = 'grant'";

const APPROVALS: &str = "
    SELECT leaf_index, record, time, recorded, tenant, basis, source_system, action, request,
           answer, by, by_type, subject, subject_type, role, scopes, not_before, expires
    FROM authority WHERE kind = 'approval'";

const DELEGATIONS: &str = "
    SELECT leaf_index, h['hop'] AS hop, chain_depth, record, of_action AS action, time, recorded, tenant, basis,
           initiator, executor,
           h['principal'] AS principal, h['type'] AS type, h['instance'] AS instance, h['vendor'] AS vendor,
           h['credential'] AS credential, h['delegation'] AS delegation, h['scopes'] AS scopes
    FROM (SELECT leaf_index, chain_depth, id AS record, coalesce(action, id) AS of_action, time, recorded, tenant, basis,
                 initiator, executor, unnest(chain) AS h
          FROM records WHERE chain_depth > 0)";

/// Accounts that records name, each a principal of its own: nothing joins them yet.
const PRINCIPALS: &str = "
    SELECT tenant, account AS key, coalesce(max(type) FILTER (WHERE type <> 'unknown'), 'unknown') AS type,
           max(vendor) AS vendor, min(time) AS first_seen, max(time) AS last_seen, count(*) AS mentions,
           max(leaf_index) AS last_leaf
    FROM (SELECT tenant, initiator AS account, initiator_type AS type, initiator_vendor AS vendor, time, leaf_index FROM records
          UNION ALL SELECT tenant, executor, executor_type, vendor, time, leaf_index FROM records
          UNION ALL SELECT tenant, by, by_type, NULL, time, leaf_index FROM authority
          UNION ALL SELECT tenant, subject, subject_type, subject_vendor, time, leaf_index FROM authority
          UNION ALL SELECT tenant, principal, type, vendor, time, leaf_index FROM delegations)
    WHERE account IS NOT NULL
    GROUP BY tenant, account";
