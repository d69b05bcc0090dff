//! Transaction tokens, where they are turned on.

use deed_token::{
    Evidence, ExchangeError, Request, TokenType, VerifyError, authenticate, policy::Transactions, transaction,
};
use serde_json::json;

use crate::support::{NOW, Token, World, assertion, at, client, scope};

fn ask(
    world: &World,
    token: &Token,
    agent: &str,
    more: &str,
) -> Result<deed_token::txn::Transaction, ExchangeError> {
    let form = format!(
        "{}&subject_token={}&subject_token_type={}&requested_token_type={}{more}",
        client(&assertion(agent, NOW, json!({}))),
        token.text(),
        TokenType::AccessToken.uri(),
        TokenType::TxnToken.uri()
    );
    let request = Request::parse(&form)?;
    let (subject, actor) = authenticate(&request, &world.trust, &world.issuer, at(NOW), &world.used)?;
    let evidence = Evidence { subject: &subject, actor: &actor, proof: None };
    transaction(&request, evidence, &world.policy, &world.state, at(NOW), "txn-1")
}

#[test]
fn they_are_for_what_the_token_is_for() {
    let mut world = World::new();
    world.policy.transactions = Some(Transactions { trust_domain: "acme.internal".into(), longest: 15 });
    let token = world.planner("&deed_task=JIRA-1");
    for more in ["", "&deed_task=JIRA-1"] {
        let made = ask(&world, &token, "planner", more).unwrap();
        assert_eq!((made.task(), &made.claims()["deed"]["task"]), (Some("JIRA-1"), &json!("JIRA-1")));
    }
    assert_eq!(ask(&world, &token, "planner", "&deed_task=JIRA-2"), Err(ExchangeError::Task));
    let open = world.planner("");
    assert_eq!(ask(&world, &open, "planner", "&deed_task=JIRA-2").unwrap().task(), Some("JIRA-2"));
}

#[test]
fn they_are_off_until_there_are_settings() {
    let mut world = World::new();
    let token = world.planner("");
    assert_eq!(ask(&world, &token, "planner", ""), Err(ExchangeError::Transaction));
    world.policy.transactions = Some(Transactions { trust_domain: "acme.internal".into(), longest: 15 });

    let details = "&scope=tickets:read&request_details={\"order\":7}&request_context=eyJpcCI6IjEwLjAuMC4xIn0";
    let made = ask(&world, &token, "planner", details).unwrap();
    assert_eq!(
        (made.id(), made.parent(), made.scope(), made.expires()),
        ("txn-1", token.jti(), &scope("tickets:read"), NOW + 15)
    );
    let text = world.issuer.sign_transaction(&made).unwrap();
    let claims = world.issuer.verify_transaction(text.expose(), "acme.internal", at(NOW)).unwrap();
    assert_eq!(
        claims,
        json!({
            "iss": "https://deed.example", "aud": "acme.internal", "iat": NOW, "exp": NOW + 15, "txn": "txn-1",
            "sub": "oidc:idp.example/realms/acme/ann", "scope": "tickets:read", "req_wl": "agent:planner",
            "act": { "sub": "agent:planner", "deed_type": "agent" },
            "tctx": { "order": 7 }, "rctx": { "ip": "10.0.0.1" },
            "deed": { "tenant": "acme", "parent": token.jti() },
        })
    );
    assert_eq!(made.task(), None);
    let response = made.response(&text);
    assert_eq!(
        (&response["token_type"], &response["issued_token_type"]),
        (&json!("N_A"), &json!(TokenType::TxnToken.uri()))
    );

    // It is no access token, nor is an access token one, nor is it exchanged for anything.
    assert!(matches!(world.issuer.verify(text.expose(), at(NOW)), Err(VerifyError::Type { .. })));
    assert!(world.issuer.verify_transaction(token.text(), "acme.internal", at(NOW)).is_err());
    assert_eq!(
        world.issuer.verify_transaction(text.expose(), "other", at(NOW)),
        Err(VerifyError::Audience { expected: "the trust domain of this server" })
    );
    for kind in [TokenType::AccessToken, TokenType::Jwt, TokenType::TxnToken] {
        assert!(world.trust.subject(text.expose(), kind, &world.issuer, at(NOW)).is_err());
    }
    for (agent, more, why) in [
        ("planner", "&scope=admin", ExchangeError::Scope("admin".into())),
        ("planner", "&audience=elsewhere", ExchangeError::Transaction),
        ("coder", "", ExchangeError::NotHanded),
    ] {
        assert_eq!(ask(&world, &token, agent, more), Err(why));
    }
    world.state.apply(&token.own.terms().revocation());
    assert!(matches!(ask(&world, &token, "planner", ""), Err(ExchangeError::Inactive(_))));
}
