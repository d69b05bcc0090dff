//! The token service over real HTTP: who gets what, what is recorded, and what holds afterwards.

mod issuers;
mod kinds;
mod upstream;
mod world;

use deed_ledger::Key;
use deed_record::{Basis, Change};
use http::header;
use serde_json::{Value, json};

use self::world::{ACCESS, Ask, FILES, TICKETS, World, ann, assertion, key, seconds};
use crate::support::{Running, call, call_unix, get, post};

#[tokio::test(flavor = "multi_thread")]
async fn a_persons_token_becomes_one_that_says_who_acts_and_it_is_recorded() {
    let world = World::start().await;
    let person = ann(json!({}));
    let asked =
        Ask::of(&person, "coder").with(&format!("resource={TICKETS}&scope=tickets:read&deed_task=t-1"));
    let answer = world.ask(asked).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header(header::CACHE_CONTROL), "no-store");
    let answer = answer.json();
    assert_eq!(answer["issued_token_type"], ACCESS);
    assert_eq!((&answer["token_type"], &answer["scope"]), (&json!("Bearer"), &json!("tickets:read")));
    let token = answer["access_token"].as_str().unwrap();

    let said = world.introspect(token).await;
    assert_eq!(said["active"], true);
    assert_eq!(said["sub"], "oidc:idp.example/ann");
    assert_eq!(said["act"], json!({ "sub": "agent:coder", "deed_type": "agent" }));
    assert_eq!(said["aud"], json!([TICKETS]));

    // The record is there, says all of it but the token, and its id is the token's.
    let ledger = world.server.engine().ledger();
    let jti = said["jti"].as_str().unwrap();
    let leaf = ledger.lookup(&Key::Credential { tenant: "acme", name: jti }, 9, None).unwrap();
    let sealed = ledger.leaf(leaf[0]).unwrap();
    let record = sealed.skeleton().unwrap();
    assert_eq!((record.id.to_string().as_str(), &*record.submitter), (jti, "deed:token"));
    assert_eq!((record.basis, record.terms.unwrap().change), (Basis::Enforced, Some(Change::Issued)));
    assert_eq!(record.task.as_deref(), Some("t-1"));
    let credential = record.credential.unwrap();
    assert_eq!(credential.parent.as_deref(), Some(&*deed_token::Fingerprint::of(&person).to_string()));
    let disclosed = ledger.disclosures(leaf[0]).unwrap();
    for bytes in disclosed.iter().map(|opened| &opened.json[..]).chain([&sealed.leaf[..]]) {
        let text = String::from_utf8_lossy(bytes);
        assert!(!text.contains(token) && !text.contains(&person), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_off_can_only_narrow() {
    let world = World::start().await;
    let first = world
        .token(
            Ask::of(&ann(json!({})), "coder")
                .with(&format!("resource={TICKETS}&scope=tickets:read&deed_may_act=agent:reviewer")),
        )
        .await;
    for (more, error) in [
        ("scope=tickets:write".to_owned(), "invalid_scope"),
        (format!("resource={FILES}"), "invalid_target"),
        (
            "authorization_details=%5B%7B%22type%22%3A%22x%22%7D%5D".to_owned(),
            "invalid_authorization_details",
        ),
    ] {
        let size = world.size();
        let answer = world.ask(Ask::of(&first, "reviewer").with(&more)).await;
        assert_eq!((answer.status, answer.json()["error"].as_str()), (400, Some(error)), "{more}");
        // The refusal is a record too.
        assert_eq!(world.size(), size + 1, "{more}");
        let sealed = world.server.engine().ledger().leaf(size).unwrap();
        let record = sealed.skeleton().unwrap();
        assert_eq!(record.outcome.unwrap().code.as_deref(), Some(error));
        assert_eq!(&*record.tenant, "acme");
    }
    let handed = world.token(Ask::of(&first, "reviewer")).await;
    let said = world.introspect(&handed).await;
    assert_eq!(said["act"]["sub"], "agent:reviewer");
    assert_eq!(said["act"]["act"]["sub"], "agent:coder");
    // Whoever was not named is not handed it, and neither is another tenant's agent.
    for agent in ["runner", "spy"] {
        let answer = world.ask(Ask::of(&first, agent)).await;
        assert_eq!(answer.json()["error"], "unauthorized_client", "{agent}");
    }
    let renewed = world.token(Ask::of(&handed, "reviewer")).await;
    assert_eq!(world.introspect(&renewed).await["deed"]["relation"], "renewal");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_and_a_proof_work_once() {
    let world = World::start().await;
    let person = ann(json!({}));
    let asked = || Ask::of(&person, "coder").with(&format!("resource={TICKETS}"));
    let assertion = assertion("agent:coder", 12, json!({}));
    assert_eq!(world.ask(asked().by(&assertion)).await.status, 200);
    let again = world.ask(asked().by(&assertion)).await;
    assert_eq!((again.status, again.json()["error"].as_str()), (401, Some("invalid_client")));

    let proof = world.proof(7);
    let bound = world.ask(asked().dpop(&proof)).await.json();
    assert_eq!(bound["token_type"], "DPoP");
    let bound = bound["access_token"].as_str().unwrap().to_owned();
    let jkt = key(7).public().thumbprint().to_string();
    assert_eq!(world.introspect(&bound).await["cnf"], json!({ "jkt": jkt }));
    assert_eq!(world.ask(asked().dpop(&proof)).await.json()["error"], "invalid_dpop_proof");
    // A bound token is renewed by its key alone.
    for wrong in [None, Some(world.proof(8))] {
        let asked = Ask::of(&bound, "coder");
        let asked = wrong.into_iter().fold(asked, |asked, proof| asked.dpop(&proof));
        assert_eq!(world.ask(asked).await.json()["error"], "invalid_dpop_proof");
    }
    assert_eq!(world.ask(Ask::of(&bound, "coder").dpop(&world.proof(7))).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_takes_with_it_what_was_made_from_the_token_at_once_and_for_good() {
    let mut world = World::start().await;
    let with = format!("resource={TICKETS}&deed_may_act=agent:reviewer");
    let first = world.token(Ask::of(&ann(json!({})), "coder").with(&with)).await;
    let handed = world.token(Ask::of(&first, "reviewer")).await;
    let renewed = world.token(Ask::of(&handed, "reviewer")).await;
    let other = world.token(Ask::of(&ann(json!({})), "coder").with(&with)).await;

    // Somebody who never had it may not; nobody may without saying who it is.
    let size = world.size();
    assert_eq!(world.revoke(&first, Some("runner")).await.json()["error"], "unauthorized_client");
    assert_eq!(world.revoke(&first, None).await.status, 401);
    assert_eq!(world.size(), size + 2);
    assert_eq!(world.introspect(&first).await["active"], true);

    assert_eq!(world.revoke(&first, Some("coder")).await.status, 200);
    for token in [&first, &handed, &renewed] {
        assert_eq!(world.introspect(token).await, json!({ "active": false }));
        assert_eq!(world.ask(Ask::of(token, "reviewer")).await.json()["error"], "invalid_request");
    }
    assert_eq!(world.introspect(&other).await["active"], true);
    // What is no token, or is revoked, is as good as revoked.
    assert_eq!(world.revoke("nonsense", Some("coder")).await.status, 200);
    assert_eq!(world.revoke(&first, Some("coder")).await.status, 200);

    let used = assertion("agent:coder", 12, json!({}));
    let person = ann(json!({}));
    let asked = || Ask::of(&person, "coder").with(&with).by(&used);
    assert_eq!(world.ask(asked()).await.status, 200);
    world.restart().await;
    for token in [&first, &handed, &renewed] {
        assert_eq!(world.introspect(token).await, json!({ "active": false }));
    }
    assert_eq!(world.introspect(&other).await["active"], true);
    assert_eq!(world.ask(asked()).await.status, 401, "it was used before the restart");
    assert_eq!(world.ask(Ask::of(&other, "reviewer")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_owns_the_store_revokes_what_it_likes() {
    let world = World::start().await;
    let token = world.token(Ask::of(&ann(json!({})), "coder").with(&format!("resource={TICKETS}"))).await;
    let socket = world.server.addresses().socket.clone().unwrap();
    let form = "application/x-www-form-urlencoded";
    let answer = call_unix(&socket, post("/oauth/revoke", form, format!("token={token}"))).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(world.introspect(&token).await, json!({ "active": false }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_stops_the_tokens_of_a_principal_or_a_credential_and_their_children() {
    let world = World::start().await;
    let with = format!("resource={TICKETS}&deed_may_act=agent:reviewer");
    let person = ann(json!({}));
    let first = world.token(Ask::of(&person, "coder").with(&with)).await;
    let handed = world.token(Ask::of(&first, "reviewer")).await;
    let jti = world.introspect(&first).await["jti"].as_str().unwrap().to_owned();
    let of_key = key(12).public().thumbprint().0.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    for what in [
        "agent:coder".to_owned(),
        "oidc:idp.example/ann".to_owned(),
        jti,
        deed_token::Fingerprint::of(&first).to_string(),
        deed_token::Fingerprint::of(&person).to_string(),
        format!("sha256:{of_key}"),
    ] {
        let suspend = async |suspended: bool| {
            let is_credential = !what.contains(':') || what.starts_with("sha256:");
            let body = json!({
                "what": what, "suspended": suspended, "credential": is_credential,
                "by": { "type": "human", "key": "human:op" },
            });
            let request = post("/v1/suspensions", "application/json", body.to_string());
            assert_eq!(call(world.http(), request).await.status, 200);
        };
        suspend(true).await;
        assert_eq!(world.introspect(&handed).await, json!({ "active": false }), "{what}");
        let refused = world.ask(Ask::of(&first, "coder")).await;
        assert_eq!(refused.json()["error"], "unauthorized_client", "{what}");
        suspend(false).await;
        assert_eq!(world.introspect(&handed).await["active"], true, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_is_refused_and_shows_no_secret() {
    let world = World::start().await;
    let form = "application/x-www-form-urlencoded";
    let (person, proof) = (ann(json!({})), assertion("agent:coder", 12, json!({})));
    let whole = Ask::of(&person, "coder").by(&proof).form();
    let forged = key(66).sign(
        "at+jwt",
        &[],
        &json!({ "iss": world::IDP, "sub": "ann", "aud": "deed",
        "exp": seconds() + 60 }),
    );
    let forged = Ask::of(&forged.unwrap(), "coder").form();
    for (body, status, error) in [
        (String::new(), 400, "invalid_request"),
        ("grant_type=password&username=a&password=hunter2".to_owned(), 400, "unsupported_grant_type"),
        (format!("{whole}&subject_token={person}"), 400, "invalid_request"),
        (whole.replace("client_assertion=", "x="), 400, "invalid_request"),
        (whole.replace(&proof, &proof[..proof.len() - 8]), 401, "invalid_client"),
        (forged, 400, "invalid_request"),
        ("%ff=%ff".to_owned(), 400, "invalid_request"),
    ] {
        let answer = call(world.http(), post("/oauth/token", form, body.clone())).await;
        assert_eq!((answer.status, answer.json()["error"].as_str()), (status, Some(error)), "{body}");
        for secret in [&person, &proof, "hunter2"] {
            assert!(!answer.text().contains(secret), "{}", answer.text());
        }
    }
    let large = format!("grant_type={}", "x".repeat(70_000));
    assert_eq!(call(world.http(), post("/oauth/token", form, large)).await.status, 413);
    let json = call(world.http(), post("/oauth/token", "application/json", "{}")).await;
    assert_eq!(json.json()["error"], "invalid_request");
    let introspected = call(world.http(), post("/oauth/introspect", form, "token=a.b.c")).await;
    assert_eq!(introspected.json(), json!({ "active": false }));
    assert_eq!(call(world.http(), post("/oauth/introspect", form, "")).await.status, 400);
    assert_eq!(call(world.http(), get("/oauth/token")).await.status, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_recorded_is_not_issued() {
    let world = World::start().await;
    let ledger = world.server.engine().ledger().clone();
    tokio::task::spawn_blocking(move || ledger.close()).await.unwrap().unwrap();
    let answer = world.ask(Ask::of(&ann(json!({})), "coder").with(&format!("resource={TICKETS}"))).await;
    let error = answer.json()["error"].as_str().map(str::to_owned);
    assert_eq!((answer.status, error.as_deref()), (503, Some("temporarily_unavailable")));
    assert!(!answer.text().contains("access_token"));
    let refused = world.ask(Ask::of(&ann(json!({})), "nobody")).await;
    assert_eq!(refused.status, 503, "a refusal is recorded, or is none");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_find_their_way() {
    let world = World::start().await;
    let server = call(world.http(), get("/.well-known/oauth-authorization-server")).await.json();
    assert_eq!(server["issuer"], "https://deed.example");
    assert_eq!(server["token_endpoint"], "https://deed.example/oauth/token");
    let resource = call(world.http(), get("/.well-known/oauth-protected-resource/mcp/tickets")).await.json();
    assert_eq!(resource["resource"], TICKETS);
    assert_eq!(resource["authorization_servers"], json!([world::IDP, "https://deed.example"]));
    for other in ["files", "a%22b"] {
        let path = format!("/.well-known/oauth-protected-resource/mcp/{other}");
        assert_eq!(call(world.http(), get(&path)).await.problem(), "not-found", "{other}");
    }

    let token = world.token(Ask::of(&ann(json!({})), "coder").with(&format!("resource={TICKETS}"))).await;
    let header = token.split('.').next().unwrap();
    let header = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, header).unwrap();
    let kid = serde_json::from_slice::<Value>(&header).unwrap()["kid"].clone();
    let jwks = call(world.http(), get("/.well-known/jwks.json")).await.json();
    assert_eq!(jwks["keys"][0]["kid"], kid);
    assert!(jwks["keys"][0].get("d").is_none());
    let all = call(world.http(), get("/v1/keys")).await.json();
    assert!(all["jwks"]["keys"].as_array().unwrap().contains(&jwks["keys"][0]), "{all}");

    // Without settings there is none.
    let without = Running::start().await;
    for path in ["/.well-known/oauth-authorization-server", "/.well-known/jwks.json"] {
        assert_eq!(without.get(path).await.problem(), "not-found");
    }
}
