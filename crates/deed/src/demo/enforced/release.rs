//! A release by a pipeline, its check that fails, and the rollback (T6): `deed run` before real commands.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use deed_record::Status;
use tokio::process::Command;

use super::{
    Stage, must,
    scenes::{Telling, approver, bob_approves},
};
use crate::exit::{Code, Failure, Outcome};

/// What is released.
const DEPLOYMENT: &str = "deploy:prod/vendors";
/// Where the pipeline has its token.
const TOKEN: &str = "DEED_DEMO_ID_TOKEN";

impl Telling {
    /// The pipeline releases what fails, and takes it back.
    pub(super) async fn release(&mut self, stage: &Stage<'_>) -> Outcome {
        let token = stage.keys.ci()?;
        let artifact = Artifact::make()?;
        let with = ["--artifact".to_owned(), artifact.0.display().to_string()];
        let deploys = run(stage, &token, "deploy", &with, 2);
        let (ended, ()) = tokio::try_join!(deploys, bob_approves(stage, "run"))?;
        must(ended == Code::Failed as i32, "the check after the release failed")?;
        let failed = stage.newest_of("resource", DEPLOYMENT, Status::Failure).await?;
        let digest = failed.action.artifact.as_ref().and_then(|artifact| artifact.digest.as_ref());
        must(digest.is_some() && failed.credential.is_some(), "digest and credential are in the record")?;
        must(approver(&failed) == Some("human:bob"), "Bob approved the release")?;
        self.tell("ci deploys, once Bob has approved", "its check fails");
        let undone = ["--compensates".to_owned(), failed.action.id.to_string()];
        must(run(stage, &token, "rollback", &undone, 1).await? == 0, "the release was rolled back")?;
        let rollback = stage.newest_of("resource", DEPLOYMENT, Status::Success).await?;
        must(rollback.outcome.compensates == Some(failed.action.id), "the rollback names what it undoes")?;
        let effects = stage.vendors.effects().await?;
        must(effects.ends_with(&["release 2".to_owned(), "release 1".to_owned()]), "both really happened")?;
        self.tell("ci rolls back", "done; the record names what it undoes");
        self.secrets.push(token);
        self.story("release", Some("a release and its rollback"), &rollback);
        Ok(())
    }
}

/// Has `deed run` release a version of the database: its exit code.
async fn run(
    stage: &Stage<'_>,
    token: &str,
    action: &str,
    more: &[String],
    version: u32,
) -> Result<i32, Failure> {
    let failed = |error: std::io::Error| Failure::new("failed to start `deed run`").detail(error.to_string());
    let program = env::current_exe().map_err(failed)?;
    let mut command = Command::new(&program);
    command.arg("run").arg("--data").arg(stage.dir);
    command.args(["--id-token-env", TOKEN, "--audience", "deed", "--for", "human:ann"]);
    command.args(["--action", action, "--resource", DEPLOYMENT]).args(more).arg("--").arg(&program);
    command.args(["demo", "--release", &stage.vendors.release(version)]);
    command.env(TOKEN, token).env_remove("TRACEPARENT").env_remove("DEED_SERVER");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let ended = command.output().await.map_err(failed)?;
    match ended.status.code() {
        Some(code @ (0 | 1)) => Ok(code),
        _ => Err(Failure::new("`deed run` did not run the command")
            .detail(String::from_utf8_lossy(&ended.stderr).into_owned())),
    }
}

/// A file that is released, deleted when it is dropped.
struct Artifact(PathBuf);

impl Artifact {
    fn make() -> Result<Self, Failure> {
        let path = env::temp_dir().join(format!("deed-demo-release-{}", std::process::id()));
        let failed = |path: &Path, error: std::io::Error| {
            Failure::new(format!("failed to write `{}`", path.display())).detail(error.to_string())
        };
        fs::write(&path, "vendors 2\n").map_err(|error| failed(&path, error))?;
        Ok(Artifact(path))
    }
}

impl Drop for Artifact {
    fn drop(&mut self) {
        // What is left of it lies in a folder for such things.
        drop(fs::remove_file(&self.0));
    }
}
