//! What came of a record, on one screen.

use super::{Style, in_tenant, page::Page, phrases::spoken, text::shell_word};
use crate::{
    led_to::{Came, LedTo},
    words::{beside, moment},
};

/// Actions that are shown; `--json` has all.
const MOST_SHOWN: usize = 50;

/// What came of a request, an approval, a grant or a credential: answers, rights, credentials, and what was done.
pub fn led_to(answer: &LedTo, style: Style<'_>) -> String {
    let mut page = Page::new(style);
    let record = &answer.record;
    let who = record.who.as_deref().map(|who| format!("  {who}")).unwrap_or_default();
    page.headline(&format!("{}  {}{who}", spoken(record.kind.as_str()), record.what), &moment(record.time));
    page.blank();
    let mut row = |label: &str, came: &Came| {
        let status = came.status.map(|status| spoken(status.as_str())).unwrap_or_default();
        let note = format!("{}; {}; {}", beside(came.time, record.time), came.what, came.how);
        page.link(label, came.who.as_deref().unwrap_or("-"), &status, came.edge, &note);
        page.behind(&came.id.to_string());
    };
    for (label, all) in [
        ("answer", &answer.approvals),
        ("grant", &answer.grants),
        ("with", &answer.credentials),
        ("action", &answer.actions),
    ] {
        all.iter().take(MOST_SHOWN).for_each(|came| row(label, came));
    }
    let more = answer.actions.len().saturating_sub(MOST_SHOWN);
    if more > 0 {
        page.free("", &format!("and {more} more actions; --json has all"));
    }
    if [&answer.approvals, &answer.grants, &answer.credentials, &answer.actions]
        .iter()
        .all(|all| all.is_empty())
    {
        page.free("", "nothing that is known came of it");
    }
    if !answer.complete {
        page.free("", "not everything was looked at: there are more records than one answer reads");
    }
    if style.program.is_empty() {
        return page.finish();
    }
    page.blank();
    let mut next: Vec<String> = answer
        .actions
        .last()
        .map(|came| style.suggest(&format!("explain {}", came.id)))
        .into_iter()
        .collect();
    if let Some(request) = answer.request.filter(|request| *request != record.id) {
        next.push(style.suggest(&format!("explain {request}")));
    }
    let who = record.who.as_deref().and_then(shell_word);
    let tenant = in_tenant(&record.tenant);
    next.extend(who.map(|who| style.suggest(&format!("principal {who}{tenant}"))));
    page.words("next", &next);
    page.finish()
}
