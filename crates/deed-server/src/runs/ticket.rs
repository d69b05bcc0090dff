//! Tickets: what the wait and the outcome of one action are asked with.
//!
//! A job's token is over within minutes, and a deployment is not. So the decision comes with a ticket that this store alone
//! can make: it says which action it is for and what of it is recorded with its end, so that whoever shows it can say
//! neither. It is good for one step of that action, also after this server was started again, and for nothing else.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use deed_gateway::{Answer, Place, RunTold};
use deed_ledger::{Ledger, now};
use deed_record::{RecordId, Ruling, Timestamp, is_label};
use http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::comer::bearer;
use crate::{
    app::App,
    auth::is_same,
    problem::{Kind, Problem},
};

/// How long a ticket is good, in microseconds: a week, longer than any job.
const GOOD_FOR: i64 = 7 * 86_400 * 1_000_000;
/// The longest ticket that is looked at, in bytes.
const LONGEST: usize = 32 << 10;
/// What it is signed for.
const PURPOSE: &str = "run ticket";

/// What a ticket is good for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Allows {
    /// To wait for a human.
    Wait,
    /// To say how it ended.
    Outcome,
}

/// What a ticket says. Its holder can read it, and already knows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ticket {
    pub(crate) action: RecordId,
    pub(crate) allows: Allows,
    /// Whose the action is.
    pub(crate) tenant: String,
    /// When it was asked for, and until when the ticket is good.
    pub(crate) asked: Timestamp,
    until: Timestamp,
    nonce: String,
    pub(crate) operation: String,
    /// The resource.
    pub(crate) uri: Option<String>,
    pub(crate) place: Place,
    pub(crate) compensates: Option<RecordId>,
    pub(crate) by: Option<String>,
    log: String,
    index: Option<u64>,
}

impl Ticket {
    /// The first ticket of an action; what it allows is said by [`Ticket::tell`].
    pub(crate) fn new(
        answer: &Answer,
        intent: &deed_gateway::Intent,
        tenant: &str,
        nonce: &str,
        asked: Timestamp,
    ) -> Self {
        let run = intent.run.as_ref();
        Ticket {
            action: answer.id,
            allows: Allows::Wait,
            tenant: tenant.to_owned(),
            asked,
            until: Timestamp(asked.0.saturating_add(GOOD_FOR)),
            nonce: nonce.to_owned(),
            operation: run.map(|run| run.operation.clone()).unwrap_or_default(),
            uri: intent.uri.clone(),
            place: intent.place.clone(),
            compensates: run.and_then(|run| run.compensates),
            by: run.and_then(|run| run.by.clone()),
            log: answer.log.clone(),
            index: answer.index,
        }
    }

    /// The ticket for `action` in `headers`, if it is good for `allows`.
    ///
    /// # Errors
    /// It is none of this store's, over, or good for something else.
    pub(crate) async fn of(
        app: &App,
        headers: &HeaderMap,
        action: RecordId,
        allows: Allows,
    ) -> Result<Self, Problem> {
        let ticket = Ticket::read(app, headers, action).await?;
        ticket.is_for(allows)?;
        Ok(ticket)
    }

    /// The ticket for `action` in `headers`, whatever step it is for.
    ///
    /// # Errors
    /// It is none of this store's, or over.
    pub(crate) async fn read(app: &App, headers: &HeaderMap, action: RecordId) -> Result<Self, Problem> {
        let none = "send `Authorization: Bearer` and the ticket that came with the decision";
        let shown = bearer(headers)?.ok_or_else(|| Problem::new(Kind::Unauthenticated, none))?;
        let ticket = app.ask(move |engine| open(engine.ledger(), shown.expose())).await?;
        if ticket.until < now() {
            return Err(Problem::new(Kind::Unauthenticated, "the ticket is over"));
        }
        if ticket.action != action {
            return Err(Problem::new(Kind::Forbidden, "the ticket is for another action"));
        }
        Ok(ticket)
    }

    /// Whether it is good for `allows`.
    ///
    /// # Errors
    /// It is for something else.
    pub(crate) fn is_for(&self, allows: Allows) -> Result<(), Problem> {
        match (self.allows, allows) {
            (Allows::Wait, Allows::Outcome) => {
                Err(Problem::new(Kind::Forbidden, "nobody has let it run: the ticket is for the wait"))
            }
            (Allows::Outcome, Allows::Wait) => {
                Err(Problem::new(Kind::Forbidden, "it may run already: the ticket is for the outcome"))
            }
            _ => Ok(()),
        }
    }

    /// What the decision point is asked about again.
    pub(crate) fn waits(&self) -> Answer {
        Answer {
            id: self.action,
            log: self.log.clone(),
            index: self.index,
            spooled: None,
            effect: Ruling::StepUp,
            reason: "it waits for a human".to_owned(),
            unrecordable: false,
            policies: Vec::new(),
            policy_set: None,
            obligations: Default::default(),
            restricted: Vec::new(),
        }
    }

    /// What the command's machine hears, with the ticket for what comes next.
    ///
    /// # Errors
    /// The store's keys cannot be used.
    pub(crate) async fn tell(mut self, app: &App, answer: Answer) -> Result<RunTold, Problem> {
        let (nonce, trace_id, span_id) = (self.nonce.clone(), self.place.trace_id, self.place.span_id);
        let allows = match answer.effect {
            Ruling::Allow => Some(Allows::Outcome),
            Ruling::StepUp => Some(Allows::Wait),
            Ruling::Deny => None,
        };
        let ticket = match allows {
            Some(allows) => {
                self.allows = allows;
                Some(app.ask(move |engine| seal(engine.ledger(), &self)).await?)
            }
            None => None,
        };
        Ok(RunTold { nonce, answer, trace_id, span_id, ticket, wants_command: false })
    }
}

/// What is signed, a dot, and the signature; both in base64url.
fn seal(ledger: &Ledger, ticket: &Ticket) -> Result<String, Problem> {
    let says = serde_json::to_vec(ticket).map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
    let says = URL_SAFE_NO_PAD.encode(says);
    let tag = super::keyed(ledger, &ticket.tenant, PURPOSE, says.as_bytes())?;
    Ok(format!("{says}.{}", URL_SAFE_NO_PAD.encode(tag)))
}

/// Nothing of a ticket is used before its signature is verified, but whose key that is.
fn open(ledger: &Ledger, text: &str) -> Result<Ticket, Problem> {
    let wrong = || Problem::new(Kind::Unauthenticated, "the ticket is none of this server's");
    let (says, tag) = text.split_once('.').filter(|_| text.len() <= LONGEST).ok_or_else(wrong)?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| wrong());
    let ticket: Ticket = serde_json::from_slice(&decode(says)?).map_err(|_| wrong())?;
    let tag: [u8; 32] = decode(tag)?.try_into().map_err(|_| wrong())?;
    if !is_label(&ticket.tenant) {
        return Err(wrong());
    }
    // Nobody makes a key by naming a tenant.
    let known = ledger.keyed(&ticket.tenant, PURPOSE, says.as_bytes(), false)?;
    match known.is_some_and(|known| is_same(&known, &tag)) {
        true => Ok(ticket),
        false => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use deed_ledger::Options;
    use deed_record::{SpanId, TraceId};

    use super::*;

    fn ticket(tenant: &str) -> Ticket {
        let id = RecordId([7; 16]);
        let place = Place::of_nobody(TraceId(id.0), SpanId([1; 8]));
        Ticket {
            action: id,
            allows: Allows::Outcome,
            tenant: tenant.into(),
            asked: Timestamp(1),
            until: Timestamp(2),
            nonce: "n".repeat(16),
            operation: "deploy".into(),
            uri: Some("deploy:prod/web".into()),
            place,
            compensates: None,
            by: None,
            log: "log".into(),
            index: Some(4),
        }
    }

    #[test]
    fn only_what_this_store_sealed_opens() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let stores = folders.each_ref().map(|dir| Ledger::open(dir.path(), Options::default()).unwrap());
        let sealed = seal(&stores[0], &ticket("acme")).unwrap();
        assert_eq!(open(&stores[0], &sealed).unwrap().operation, "deploy");
        seal(&stores[1], &ticket("acme")).unwrap();
        let (says, tag) = sealed.split_once('.').unwrap();
        let others = seal(&stores[0], &Ticket { allows: Allows::Wait, ..ticket("acme") }).unwrap();
        let (other_says, _) = others.split_once('.').unwrap();
        let of_another = seal(&stores[0], &ticket("globex")).unwrap();
        let (globex, _) = of_another.split_once('.').unwrap();
        for bad in [
            String::new(),
            ".".to_owned(),
            says.to_owned(),
            format!("{other_says}.{tag}"),
            format!("{globex}.{tag}"),
            format!("{says}.{}", URL_SAFE_NO_PAD.encode([0; 32])),
            format!("{says}.{tag}.{tag}"),
            format!("{says}.{}", &tag[..40]),
        ] {
            assert!(open(&stores[0], &bad).is_err(), "{bad}");
        }
        assert!(open(&stores[1], &sealed).is_err(), "of another store");
        // Nor is an account one: other keyed digests are made by whoever sends a record.
        let account = stores[0].account("acme", &format!("run ticket:{says}")).unwrap().unwrap();
        assert!(open(&stores[0], &format!("{says}.{}", URL_SAFE_NO_PAD.encode(account.0))).is_err());
    }
}
