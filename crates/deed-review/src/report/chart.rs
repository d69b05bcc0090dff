//! Bars as inline SVG.

use super::page::{Chart, Tone};

/// What a bar is long, in units of the picture.
const LENGTH: u64 = 1000;
/// What is there at all is seen.
const LEAST: u64 = 6;

/// The bars of `chart`, one row each; `escape` makes text harmless.
pub(super) fn bars(chart: &Chart, escape: &dyn Fn(&str) -> String) -> String {
    let longest = chart.bars.iter().map(|bar| bar.parts.iter().sum::<u64>()).max().unwrap_or(0);
    let mut out = String::from("<div class=\"chart\">\n");
    for bar in &chart.bars {
        let total: u64 = bar.parts.iter().sum();
        let whole = if chart.whole { total } else { longest };
        let label = escape(&bar.label);
        out.push_str(&format!("<div class=\"bar\"><span class=\"of\" title=\"{label}\">{label}</span>"));
        out.push_str(&format!(
            "<svg viewBox=\"0 0 {LENGTH} 10\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
             <rect class=\"ground\" width=\"{LENGTH}\" height=\"10\"/>"
        ));
        let mut x = 0;
        for (at, length) in
            lengths(&bar.parts, whole).into_iter().enumerate().filter(|(_, length)| *length > 0)
        {
            let class = chart.legend.get(at).map_or("plain", |(_, tone)| class(*tone));
            out.push_str(&format!("<rect class=\"{class}\" x=\"{x}\" width=\"{length}\" height=\"10\"/>"));
            x += length;
        }
        out.push_str(&format!("</svg><span class=\"at\">{}</span></div>\n", escape(&bar.value)));
    }
    if chart.legend.len() > 1 {
        out.push_str("<p class=\"legend\">");
        for (name, tone) in &chart.legend {
            out.push_str(&format!("<span><i class=\"{}\"></i>{}</span> ", class(*tone), escape(name)));
        }
        out.push_str("</p>\n");
    }
    out.push_str("</div>\n");
    out
}

/// The class of a tone.
pub(super) const fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Plain => "plain",
        Tone::Good => "good",
        Tone::Doubtful => "doubtful",
        Tone::Bad => "bad",
    }
}

/// How long each part is; together never longer than the bar.
fn lengths(parts: &[u64], whole: u64) -> Vec<u64> {
    if whole == 0 {
        return vec![0; parts.len()];
    }
    let exact = |part: u64| (u128::from(part) * u128::from(LENGTH) / u128::from(whole)) as u64;
    let mut lengths: Vec<u64> =
        parts.iter().map(|part| if *part > 0 { exact(*part).max(LEAST) } else { 0 }).collect();
    let over = lengths.iter().sum::<u64>().saturating_sub(LENGTH);
    if let Some(longest) = lengths.iter_mut().max() {
        *longest = longest.saturating_sub(over);
    }
    lengths
}
