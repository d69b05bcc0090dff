//! RFC 9901: digests, and payloads put together again with every rejection.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use deed_seal::sd::*;
use proptest::prelude::*;
use serde_json::{Value, json};
use serde_yaml_ng::Value as Yaml;

use crate::support::*;

#[test]
fn own_vectors_hold() {
    for case in read_json(&own_vectors().join("disclosures.json")).as_array().unwrap() {
        let disclosure = Disclosure::parse(case["encoded"].as_str().unwrap()).unwrap();
        assert_eq!(text(&disclosure), case["digest"].as_str().unwrap());
        assert_eq!(disclosure.encoded(), case["encoded"].as_str().unwrap());
        assert_eq!(disclosure.salt(), case["salt"].as_str().unwrap());
        assert_eq!(disclosure.name(), case["name"].as_str());
        assert_eq!(serde_json::from_str::<Value>(disclosure.value_json()).unwrap(), case["value"]);
    }
}

#[test]
fn values_stay_as_they_came() {
    let value = b"{ \"b\":1.0 ,\"a\" : 12345678901234567890123, \"b\":2}";
    let json = disclosure_json("c2FsdA", "qu\"ote", value);
    assert_eq!(json, [br#"["c2FsdA","qu\"ote","#.as_slice(), value, b"]"].concat());
    let disclosure = Disclosure::from_json(json).unwrap();
    assert_eq!(disclosure.name(), Some("qu\"ote"));
    assert_eq!(disclosure.value_json().as_bytes(), value);
    let element = Disclosure::from_json(element_disclosure_json("c2FsdA", b"null")).unwrap();
    assert_eq!(
        (element.name(), element.value_json(), element.json()),
        (None, "null", &br#"["c2FsdA",null]"#[..])
    );
}

#[test]
fn disclosures_are_arrays_of_two_or_three() {
    for bad in [
        "",
        "null",
        "{}",
        "[]",
        r#"["s"]"#,
        r#"["s","n",1,2]"#,
        r#"[1,"n",1]"#,
        r#"["s",1,1]"#,
        r#"["s","n",1"#,
        r#"["s","n",1] x"#,
        r#"["s","n",]"#,
    ] {
        assert_eq!(Disclosure::from_json(bad).unwrap_err(), SdError::Disclosure, "{bad}");
    }
    for bad in ["*", "WyJzIiwxXQ==", "WyJzIiwxXR"] {
        assert_eq!(Disclosure::parse(bad).unwrap_err(), SdError::Disclosure, "{bad}");
    }
    Disclosure::parse("WyJzIiwxXQ").unwrap();
}

#[test]
fn members_and_elements_are_put_in_place() {
    let (name, city) = (member("name", json!("Ann")), member("city", json!("Ghent")));
    let address = member("address", json!({ "_sd": [text(&city)], "country": "BE" }));
    let element = element(json!({ "deep": [1, 2] }));
    let payload = json!({
        "_sd_alg": "sha-256",
        "_sd": [text(&name), text(&address), decoy(1)],
        "list": ["plain", { "...": text(&element) }, { "...": decoy(2) }],
    });
    let all = [name.clone(), address.clone(), city.clone(), element.clone()];
    assert_eq!(
        unpack(&payload, &all).unwrap(),
        json!({
            "name": "Ann",
            "address": { "country": "BE", "city": "Ghent" },
            "list": ["plain", { "deep": [1, 2] }],
        })
    );
    // Without disclosures nothing of them is left.
    assert_eq!(unpack(&payload, &[]).unwrap(), json!({ "list": ["plain"] }));
    assert_eq!(
        unpack(&payload, std::slice::from_ref(&address)).unwrap(),
        json!({ "address": { "country": "BE" }, "list": ["plain"] })
    );
    // A disclosure whose parent is not there has nothing that commits to it.
    assert_eq!(unpack(&payload, std::slice::from_ref(&city)), Err(SdError::Unreferenced(text(&city))));
}

#[test]
fn everything_the_rfc_rejects_is_rejected() {
    let (one, two) = (member("one", json!(1)), member("two", json!(2)));
    let (in_list, reserved) = (element(json!(3)), |name| member(name, json!(1)));
    let sd = |disclosures: &[&Disclosure]| json!({ "_sd": disclosures.iter().map(|d| text(d)).collect::<Vec<_>>() });
    let check = |payload: Value, disclosures: &[&Disclosure], expected: SdError| {
        let disclosures: Vec<_> = disclosures.iter().map(|d| (*d).clone()).collect();
        assert_eq!(unpack(&payload, &disclosures), Err(expected), "{payload}");
    };
    // A digest twice: in one array, in two places, of a decoy, by way of another disclosure.
    check(sd(&[&one, &one]), &[&one], SdError::DuplicateDigest(text(&one)));
    check(
        json!({ "_sd": [text(&one)], "a": { "_sd": [text(&one)] } }),
        &[],
        SdError::DuplicateDigest(text(&one)),
    );
    check(json!({ "_sd": [decoy(1)], "a": [{ "...": decoy(1) }] }), &[], SdError::DuplicateDigest(decoy(1)));
    let parent = member("parent", sd(&[&one]));
    check(sd(&[&one, &parent]), &[&one, &parent], SdError::DuplicateDigest(text(&one)));
    // A disclosure twice, or one that nothing commits to.
    check(sd(&[&one]), &[&one, &one], SdError::DuplicateDisclosure(text(&one)));
    check(sd(&[&one]), &[&one, &two], SdError::Unreferenced(text(&two)));
    check(json!({ "list": [text(&one)], "x": text(&one) }), &[&one], SdError::Unreferenced(text(&one)));
    // Names that are reserved or taken.
    for name in ["_sd", "...", "_sd_alg"] {
        let disclosure = reserved(name);
        check(sd(&[&disclosure]), &[&disclosure], SdError::Name(name.to_owned()));
    }
    check(json!({ "_sd": [text(&one)], "one": 0 }), &[&one], SdError::NameTaken("one".to_owned()));
    let other = Disclosure::from_json(disclosure_json("b3RoZXI", "one", b"5")).unwrap();
    check(sd(&[&one, &other]), &[&one, &other], SdError::NameTaken("one".to_owned()));
    // The wrong kind for the place.
    check(sd(&[&in_list]), &[&in_list], SdError::WrongKind(text(&in_list)));
    check(json!({ "list": [{ "...": text(&one) }] }), &[&one], SdError::WrongKind(text(&one)));
    // Reserved words where they mean nothing.
    check(json!({ "_sd": {} }), &[], SdError::SdClaim);
    check(json!({ "_sd": [1] }), &[], SdError::SdClaim);
    check(json!({ "a": { "...": decoy(1) } }), &[], SdError::Reserved("..."));
    check(json!({ "...": decoy(1) }), &[], SdError::Reserved("..."));
    check(json!({ "a": [{ "...": decoy(1), "b": 1 }] }), &[], SdError::Reserved("..."));
    check(json!({ "a": [{ "...": 1 }] }), &[], SdError::Reserved("..."));
    check(json!({ "a": { "_sd_alg": "sha-256" } }), &[], SdError::Reserved("_sd_alg"));
    check(json!({ "_sd_alg": "sha-512" }), &[], SdError::Algorithm("\"sha-512\"".to_owned()));
    check(json!({ "_sd_alg": null }), &[], SdError::Algorithm("null".to_owned()));
    check(json!([]), &[], SdError::NotAnObject);
}

#[test]
fn chains_of_disclosures_do_not_exhaust_the_stack() {
    let (mut disclosures, mut inner) = (Vec::new(), json!(1));
    for _ in 0..10_000 {
        let disclosure = member("next", inner);
        inner = json!({ "_sd": [text(&disclosure)] });
        disclosures.push(disclosure);
    }
    assert_eq!(unpack(&inner, &disclosures), Err(SdError::TooDeep));
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    for value in [deep.as_str(), "1e999", r#""\ud800""#] {
        let disclosure = Disclosure::from_json(disclosure_json("c2FsdA", "claim", value.as_bytes())).unwrap();
        let digest = text(&disclosure);
        let unpacked = unpack(&json!({ "_sd": [digest] }), &[disclosure]);
        assert_eq!(unpacked, Err(SdError::Unreadable(digest)), "{value}");
    }
}

#[test]
fn compact_serialisations_are_split() {
    let split = Compact::split("jwt~d1~d2~").unwrap();
    assert_eq!(
        (split.jwt, split.disclosures, split.key_binding, split.bound),
        ("jwt", vec!["d1", "d2"], None, "jwt~d1~d2~")
    );
    let split = Compact::split("jwt~d1~kb").unwrap();
    assert_eq!((split.disclosures, split.key_binding, split.bound), (vec!["d1"], Some("kb"), "jwt~d1~"));
    let split = Compact::split("jwt~").unwrap();
    assert_eq!((split.disclosures, split.key_binding, split.bound), (vec![], None, "jwt~"));
    for bad in ["", "jwt", "~", "~d1~", "jwt~~", "jwt~~d1~", "jwt~~kb"] {
        assert_eq!(Compact::split(bad), Err(SdError::Compact), "{bad}");
    }
}

/// Every case of `sd-jwt-python`: issued here with the claims it marks, presented with those it discloses.
#[test]
fn public_cases_hold() {
    let Some(root) = public_vectors("sd-jwt/testcases") else { return };
    let cases = files_below(&root, "specification.yml");
    assert_eq!(cases.len(), 17);
    for path in cases {
        let case: Yaml = serde_yaml_ng::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        for decoys in [false, true] {
            let mut issuer = Issuer { decoys, objects: 0, issued: Vec::new(), presented: Vec::new() };
            let payload = issuer.claims(&case["user_claims"], Some(&case["holder_disclosed_claims"]), true);
            let expected = issuer.plain(&case["expect_verified_user_claims"]);
            assert_eq!(unpack(&payload, &issuer.presented).unwrap(), expected, "{}", path.display());
            let everything = issuer.plain(&case["user_claims"]);
            assert_eq!(unpack(&payload, &issuer.issued).unwrap(), everything, "{}", path.display());
        }
    }
}

struct Issuer {
    decoys: bool,
    objects: u64,
    issued: Vec<Disclosure>,
    presented: Vec<Disclosure>,
}

impl Issuer {
    /// Claims with what is tagged `!sd` replaced by digests. `wanted` says what the holder discloses.
    fn claims(&mut self, claims: &Yaml, wanted: Option<&Yaml>, shown: bool) -> Value {
        match claims {
            Yaml::Mapping(members) => {
                let (mut object, mut digests) = (serde_json::Map::new(), Vec::new());
                for (key, claim) in members {
                    let name = yaml_name(key);
                    let wanted = wanted.and_then(|wanted| wanted.get(name.as_str()));
                    if matches!(key, Yaml::Tagged(_)) {
                        let shown = shown && is_wanted(wanted);
                        let value = self.claims(claim, wanted, shown);
                        digests.push(text(self.issue(member(&name, value), shown)));
                    } else {
                        object.insert(name, self.claims(claim, wanted, shown));
                    }
                }
                if self.decoys {
                    self.objects += 1;
                    digests.push(decoy(self.objects));
                }
                if !digests.is_empty() {
                    digests.sort();
                    object.insert("_sd".to_owned(), digests.into());
                }
                Value::Object(object)
            }
            Yaml::Sequence(elements) => {
                let issue = |(place, claim): (usize, &Yaml)| {
                    let wanted = wanted.and_then(|wanted| wanted.get(place));
                    let Yaml::Tagged(tagged) = claim else { return self.claims(claim, wanted, shown) };
                    let shown = shown && is_wanted(wanted);
                    let value = self.claims(&tagged.value, wanted, shown);
                    json!({ "...": text(self.issue(element(value), shown)) })
                };
                Value::Array(elements.iter().enumerate().map(issue).collect())
            }
            scalar => serde_json::to_value(scalar).unwrap(),
        }
    }

    fn issue(&mut self, disclosure: Disclosure, shown: bool) -> &Disclosure {
        // The same value may occur twice: the place makes the salt differ.
        let salt = format!("c2FsdA{}", self.issued.len());
        let json = match disclosure.name() {
            Some(name) => disclosure_json(&salt, name, disclosure.value_json().as_bytes()),
            None => element_disclosure_json(&salt, disclosure.value_json().as_bytes()),
        };
        let disclosure = Disclosure::from_json(json).unwrap();
        if shown {
            self.presented.push(disclosure.clone());
        }
        self.issued.push(disclosure);
        &self.issued[self.issued.len() - 1]
    }

    /// The same without tags.
    fn plain(&self, claims: &Yaml) -> Value {
        match claims {
            Yaml::Tagged(tagged) => self.plain(&tagged.value),
            Yaml::Mapping(members) => Value::Object(
                members.iter().map(|(key, claim)| (yaml_name(key), self.plain(claim))).collect(),
            ),
            Yaml::Sequence(elements) => elements.iter().map(|claim| self.plain(claim)).collect(),
            scalar => serde_json::to_value(scalar).unwrap(),
        }
    }
}

fn yaml_name(key: &Yaml) -> String {
    match key {
        Yaml::Tagged(tagged) => yaml_name(&tagged.value),
        Yaml::String(name) => name.clone(),
        other => panic!("{other:?} names no claim"),
    }
}

fn is_wanted(wanted: Option<&Yaml>) -> bool {
    match wanted {
        None | Some(Yaml::Null | Yaml::Bool(false)) => false,
        Some(Yaml::String(text)) => text != "None",
        Some(_) => true,
    }
}

proptest! {
    #[test]
    fn digests_are_those_of_the_definition(json in prop::collection::vec(any::<u8>(), 0..3000)) {
        let expected = deed_seal::hash::Hash::of(URL_SAFE_NO_PAD.encode(&json).as_bytes());
        prop_assert_eq!(digest_of_json(&json), expected.0);
        prop_assert_eq!(digest_text(&expected.0).to_vec(), URL_SAFE_NO_PAD.encode(expected.0).into_bytes());
    }

    #[test]
    fn what_is_hidden_comes_back(names in prop::collection::btree_map("[a-z]{1,8}", any::<(i32, bool)>(), 0..20)) {
        let (mut payload, mut digests, mut disclosures) = (serde_json::Map::new(), Vec::new(), Vec::new());
        for (name, (value, hidden)) in &names {
            if *hidden {
                let disclosure = member(name, json!(value));
                digests.push(Value::from(text(&disclosure)));
                disclosures.push(disclosure);
            } else {
                payload.insert(name.clone(), json!(value));
            }
        }
        payload.insert("_sd".to_owned(), digests.into());
        let payload = Value::Object(payload);
        let whole = Value::Object(names.iter().map(|(name, (value, _))| (name.clone(), json!(value))).collect());
        prop_assert_eq!(unpack(&payload, &disclosures).unwrap(), whole);
        // INVARIANT D4: dropping disclosures changes no sealed byte, only what can be shown.
        let kept = names.iter().filter(|(_, (_, hidden))| !hidden);
        let kept = Value::Object(kept.map(|(name, (value, _))| (name.clone(), json!(value))).collect());
        prop_assert_eq!(unpack(&payload, &[]).unwrap(), kept);
    }
}

fn member(name: &str, value: Value) -> Disclosure {
    Disclosure::from_json(disclosure_json("c2FsdA", name, value.to_string().as_bytes())).unwrap()
}

fn element(value: Value) -> Disclosure {
    Disclosure::from_json(element_disclosure_json("c2FsdA", value.to_string().as_bytes())).unwrap()
}

fn text(disclosure: &Disclosure) -> String {
    String::from_utf8(digest_text(&disclosure.digest()).to_vec()).unwrap()
}

fn decoy(number: u64) -> String {
    let digest = deed_seal::hash::Hash::of(&number.to_be_bytes());
    String::from_utf8(digest_text(&digest.0).to_vec()).unwrap()
}
