//! `deed export --format ocsf`: actions, authority and findings as OCSF events, one a line.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderName;
use serde_json::json;

use crate::{
    access::{Access, Need},
    cli::{Export, Global},
    client::{Request, query_value},
    exit::{Failure, Outcome},
    output::{Output, clean, count},
    stop::Stop,
    values::span,
};

/// Ids that are asked for at a time.
const IDS: usize = 50;
/// How often whoever follows looks at the log.
const PAUSE: Duration = Duration::from_millis(500);
const NEXT: HeaderName = HeaderName::from_static("deed-next");
const FOUND: HeaderName = HeaderName::from_static("deed-found");
const LAST: HeaderName = HeaderName::from_static("deed-last");

pub(super) async fn run(global: &Global, export: &Export, output: Output, stop: &Stop) -> Outcome {
    span(export.since, export.until)?;
    let access = Access::open(global, Need::Existing)?;
    let done = write(&access, export, stop, output).await;
    access.finish(done).await.map_err(|failure| failure.doing("export events"))
}

async fn write(access: &Access, export: &Export, stop: &Stop, output: Output) -> Outcome {
    let mut sink = Sink::open(export.output.as_deref(), export.follow)?;
    let filter = query(export);
    if !export.ids.is_empty() {
        for ids in export.ids.chunks(IDS) {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            let path = format!("/v1/ocsf?id={}{filter}", ids.join(","));
            sink.put(&access.call(&Request::get(path)).await?.good()?)?;
        }
    } else {
        pages(access, export, &filter, stop, &mut sink).await?;
    }
    let Some((path, events, size)) = sink.close()? else { return Ok(()) };
    if output.json {
        return output
            .document(&json!({ "file": path.display().to_string(), "records": events, "size": size }));
    }
    output.print(&format!("{} in `{}`\n", count(events, "event"), clean(&path.display().to_string())))
}

async fn pages(access: &Access, export: &Export, filter: &str, stop: &Stop, sink: &mut Sink) -> Outcome {
    let mut after = 0;
    let mut live = false;
    let mut found = String::new();
    // What is not followed is there whole, or not at all.
    while !(export.follow && stop.is_asked() || sink.is_closed) {
        let path = format!("/v1/ocsf?after={after}&live={live}{found}{filter}");
        let page = access.call(&Request::get(path)).await?;
        let header = |name: &HeaderName| Some(page.headers.get(name)?.to_str().ok()?.to_owned());
        let next = header(&NEXT).and_then(|next| next.parse::<u64>().ok());
        let is_last = header(&LAST).as_deref() == Some("true");
        if let Some(at) = header(&FOUND) {
            found = format!("&found={}", query_value(&at));
        }
        after = next.ok_or_else(|| Failure::new("the server's answer is not understood"))?;
        sink.put(&page.good()?)?;
        if is_last && !export.follow {
            break;
        }
        if is_last {
            live = true;
            tokio::select! {
                () = stop.asked() => {}
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }
    Ok(())
}

/// The selection as a query string, each part with its `&`.
fn query(export: &Export) -> String {
    let yes = |is: bool| is.then(|| "true".to_owned());
    let parts = [
        ("trace", export.trace.map(|id| id.to_string())),
        ("principal", export.principal.clone()),
        ("since", export.since.map(|time| time.to_string())),
        ("until", export.until.map(|time| time.to_string())),
        ("tenant", export.tenant.clone()),
        ("findings", yes(export.findings)),
        ("suppressed", yes(export.suppressed)),
        ("names", yes(export.names)),
    ];
    let given = parts.into_iter().filter_map(|(name, value)| Some((name, value?)));
    given.map(|(name, value)| format!("&{name}={}", query_value(&value))).collect()
}

/// Where events go: standard output, or a file that is there whole or not at all; one that is followed grows.
struct Sink {
    to: Box<dyn Write>,
    /// The file, and what it is called until it is whole.
    file: Option<(PathBuf, PathBuf)>,
    events: u64,
    size: u64,
    /// Whoever reads has had enough.
    is_closed: bool,
}

impl Sink {
    fn open(path: Option<&Path>, grows: bool) -> Result<Self, Failure> {
        let failed = |path: &Path, error: io::Error| {
            Failure::new(format!("cannot write `{}`: {error}", path.display()))
        };
        let (to, file): (Box<dyn Write>, _) = match path {
            None => (Box::new(io::stdout()), None),
            Some(path) if grows => {
                let file = File::options().create(true).append(true).open(path);
                (
                    Box::new(file.map_err(|error| failed(path, error))?),
                    Some((path.to_owned(), path.to_owned())),
                )
            }
            Some(path) => {
                let mut part = path.as_os_str().to_owned();
                part.push(".part");
                let part = PathBuf::from(part);
                let file = File::create(&part).map_err(|error| failed(&part, error))?;
                (Box::new(file), Some((path.to_owned(), part)))
            }
        };
        Ok(Sink { to, file, events: 0, size: 0, is_closed: false })
    }

    fn put(&mut self, lines: &Bytes) -> Outcome {
        match self.to.write_all(lines).and_then(|()| self.to.flush()) {
            Ok(()) => {
                self.events += lines.iter().filter(|byte| **byte == b'\n').count() as u64;
                self.size += lines.len() as u64;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.is_closed = true;
                Ok(())
            }
            Err(error) => Err(Failure::new(format!("cannot write the events: {error}"))),
        }
    }

    /// The file, how many events were written to it, and bytes.
    fn close(self) -> Result<Option<(PathBuf, u64, u64)>, Failure> {
        drop(self.to);
        let Some((path, part)) = self.file else { return Ok(None) };
        if path != part {
            let failed =
                |error: io::Error| Failure::new(format!("cannot write `{}`: {error}", path.display()));
            File::open(&part).and_then(|file| file.sync_all()).map_err(failed)?;
            fs::rename(&part, &path).map_err(failed)?;
        }
        Ok(Some((path, self.events, self.size)))
    }
}
