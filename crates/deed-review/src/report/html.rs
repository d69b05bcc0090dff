//! A page as one HTML file: no script, nothing from elsewhere, made to be kept, printed and handed on.

use super::{
    chart::{bars, class},
    grouped,
    page::{Cell, Page, Section, Table},
};
use crate::render::text::clean;

/// How it looks: on a screen, narrow or wide, light or dark, and on paper.
const STYLE: &str = "\
:root{--ink:#1b1f24;--faint:#5b6470;--ground:#fff;--card:#f5f6f8;--line:#d9dde3;--plain:#8792a2;--good:#2f8f5b;\
--doubtful:#d49a1a;--bad:#c6403b;--strong-good:#1d6b41;--strong-doubtful:#7f5800;--strong-bad:#a42b27}\
@media (prefers-color-scheme:dark){:root{--ink:#e6e9ee;--faint:#9aa4b2;--ground:#14171b;--card:#1d2127;--line:#333a43;\
--plain:#6c7786;--good:#3fa76e;--doubtful:#d8a531;--bad:#dd5f58;--strong-good:#64cf95;--strong-doubtful:#ecc160;\
--strong-bad:#ff8d86}}\
*{box-sizing:border-box}\
body{margin:0 auto;max-width:70rem;padding:2rem 1.25rem 4rem;background:var(--ground);color:var(--ink);\
font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}\
h1{font-size:1.8rem;line-height:1.2;margin:0}h2{font-size:1.2rem;margin:2.4rem 0 .3rem}\
.question{font-size:1.05rem;color:var(--faint);margin:.3rem 0 1.2rem}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:0 0 1.6rem;padding:.8rem 1rem;\
border-left:3px solid var(--line);font-size:.87rem}dt{color:var(--faint)}dd{margin:0;overflow-wrap:anywhere}\
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(11rem,1fr));gap:.8rem}\
.figure{background:var(--card);border-radius:.5rem;padding:.9rem 1rem;border-top:3px solid var(--plain)}\
.figure b{display:block;font-size:1.7rem;line-height:1.2;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}\
.figure span{font-size:.87rem;color:var(--faint)}\
.figure.good{border-color:var(--good)}.figure.doubtful{border-color:var(--doubtful)}.figure.bad{border-color:var(--bad)}\
.note{margin:.1rem 0 .8rem;color:var(--faint);font-size:.9rem;max-width:52rem}\
.chart{margin:.6rem 0 1.2rem}.bar{display:grid;grid-template-columns:minmax(6rem,15rem) 1fr 8.5rem;\
gap:0 .8rem;align-items:center;padding:.14rem 0;font-size:.87rem}\
.bar .of{overflow-wrap:anywhere}\
.bar svg{display:block;width:100%;height:1.05rem;border-radius:.2rem}.bar .at{font-variant-numeric:tabular-nums}\
rect.ground{fill:var(--card)}rect.plain{fill:var(--plain)}rect.good{fill:var(--good)}rect.doubtful{fill:var(--doubtful)}\
rect.bad{fill:var(--bad)}\
.legend{margin:.5rem 0 0;font-size:.82rem;color:var(--faint)}.legend span{white-space:nowrap;margin-right:1rem}\
.legend i{display:inline-block;width:.75rem;height:.75rem;border-radius:.15rem;margin-right:.35rem;vertical-align:-.05rem}\
i.plain{background:var(--plain)}i.good{background:var(--good)}i.doubtful{background:var(--doubtful)}i.bad{background:var(--bad)}\
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.87rem}\
th,td{text-align:left;vertical-align:top;padding:.4rem .8rem .4rem 0;overflow-wrap:anywhere;min-width:6.5rem}\
td.notes{min-width:17rem}th{font-weight:600;white-space:nowrap;color:var(--faint);border-bottom:1px solid var(--line)}\
th.n,td.n{min-width:0;text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}\
tbody tr.row td{border-top:1px solid var(--line)}tbody:first-of-type tr.row td{border-top:0}\
td.good{color:var(--strong-good)}td.doubtful{color:var(--strong-doubtful)}td.bad{color:var(--strong-bad)}\
td.notes{padding-top:0;color:var(--faint);font-size:.83rem}td.notes p{margin:0;max-width:calc(100vw - 2.2rem)}\
.more,.none{color:var(--faint);font-size:.87rem}footer{margin-top:3rem;color:var(--faint);font-size:.8rem}\
@media (max-width:40rem){body{padding:1.2rem .9rem 3rem}.bar{grid-template-columns:1fr auto}.bar{padding:.3rem 0}.bar svg{grid-column:1/-1;grid-row:2;margin-top:.15rem}\
th,td{padding-right:.6rem}}\
@media print{:root{--ink:#000;--faint:#444;--ground:#fff;--card:#f2f2f2;--line:#bbb;--strong-good:#0d5a30;\
--strong-doubtful:#6b4a00;--strong-bad:#8f1f1b}body{max-width:none;padding:0;font-size:10pt}\
.figure,.bar,tbody{break-inside:avoid}h2{break-after:avoid}.scroll{overflow:visible}\
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}";

/// The page as one HTML file. Whatever comes from records is escaped.
pub fn html(page: &Page) -> String {
    let title = escape(&page.title);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <h1>{title}</h1>\n<p class=\"question\">{}</p>\n<dl>\n",
        escape(&page.question)
    );
    for (label, value) in page.covered.lines() {
        out.push_str(&format!("<dt>{label}</dt><dd>{}</dd>\n", escape(&value)));
    }
    out.push_str("</dl>\n");
    if !page.figures.is_empty() {
        out.push_str("<div class=\"figures\">\n");
        for figure in &page.figures {
            out.push_str(&format!(
                "<div class=\"figure {}\"><b>{}</b><span>{}</span></div>\n",
                class(figure.tone),
                escape(&figure.value),
                escape(&figure.label)
            ));
        }
        out.push_str("</div>\n");
    }
    page.sections.iter().for_each(|part| section(part, &mut out));
    if !page.unknown.is_empty() {
        out.push_str("<section>\n<h2>What is not known</h2>\n<ul>\n");
        page.unknown.iter().for_each(|what| out.push_str(&format!("<li>{}</li>\n", escape(what))));
        out.push_str("</ul>\n</section>\n");
    }
    out.push_str(
        "<footer>Made by Deed from the sealed log named above. The same question asked of the same records gives the \
         same figures; <code>deed verify</code> checks the log.</footer>\n</body>\n</html>\n",
    );
    out
}

fn section(section: &Section, out: &mut String) {
    out.push_str(&format!("<section>\n<h2>{}</h2>\n", escape(&section.title)));
    if !section.note.is_empty() {
        out.push_str(&format!("<p class=\"note\">{}</p>\n", escape(&section.note)));
    }
    if let Some(chart) = section.chart.as_ref().filter(|chart| !chart.bars.is_empty()) {
        out.push_str(&bars(chart, &escape));
    }
    if let Some(table) = &section.table {
        rows(table, out);
    }
    out.push_str("</section>\n");
}

fn rows(table: &Table, out: &mut String) {
    if table.rows.is_empty() {
        out.push_str("<p class=\"none\">none</p>\n");
        return;
    }
    out.push_str("<div class=\"scroll\"><table>\n<thead><tr>");
    for column in &table.columns {
        let class = if column.figures { " class=\"n\"" } else { "" };
        out.push_str(&format!("<th scope=\"col\"{class}>{}</th>", escape(&column.title)));
    }
    out.push_str("</tr></thead>\n");
    for row in &table.rows {
        out.push_str("<tbody><tr class=\"row\">");
        for (column, Cell { text, tone }) in table.columns.iter().zip(&row.cells) {
            let figures = if column.figures { "n " } else { "" };
            out.push_str(&format!("<td class=\"{figures}{}\">{}</td>", class(*tone), escape(text)));
        }
        out.push_str("</tr>");
        if !row.notes.is_empty() {
            out.push_str(&format!("<tr><td class=\"notes\" colspan=\"{}\">", table.columns.len()));
            row.notes.iter().for_each(|note| out.push_str(&format!("<p>{}</p>", escape(note))));
            out.push_str("</td></tr>");
        }
        out.push_str("</tbody>\n");
    }
    out.push_str("</table></div>\n");
    if table.more > 0 {
        out.push_str(&format!("<p class=\"more\">and {} more</p>\n", grouped(table.more)));
    }
}

/// `text` as it may stand between tags and in attributes: nothing in it is markup, and nothing acts unseen.
fn escape(text: &str) -> String {
    let text = clean(text);
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
