//! `dokuei jobs`: background work that waits or was given up.

use anyhow::Context as _;
use dokuei_domain::JobId;
use serde_json::json;

use crate::{
    cli::JobsCommand,
    compose::Node,
    output::{Output, local_time},
};

pub(crate) async fn jobs(node: &Node, output: Output, command: JobsCommand) -> anyhow::Result<()> {
    match command {
        JobsCommand::List => {
            let zone = node.time_zone()?;
            let jobs = node.database.read().await?.job_list(1000).await?;
            let rows: Vec<_> = jobs
                .iter()
                .map(|job| {
                    json!({ "id": job.id, "queue": job.queue, "state": job.state, "attempt": job.attempt, "max_attempts": job.max_attempts,
                            "run_at": local_time(job.run_at, &zone), "last_error": job.last_error })
                })
                .collect();
            output.table(&rows, &["id", "queue", "state", "attempt", "due", "last error"], "no work waits", |row| {
                let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
                vec![
                    text("id"),
                    text("queue"),
                    text("state"),
                    format!("{}/{}", row["attempt"], row["max_attempts"]),
                    text("run_at"),
                    text("last_error"),
                ]
            })
        }
        JobsCommand::Retry { job } => {
            let id: JobId = job.parse().context("not a job id")?;
            let mut tx = node.database.write().await?;
            let revived = tx.job_revive(id, node.ambient.now()).await?;
            tx.commit().await?;
            anyhow::ensure!(
                revived,
                "the job is not dead, or another of its kind waits already; see `dokuei jobs list`"
            );
            output.show(&json!({ "job": id }), || format!("job {id} runs again"))
        }
    }
}
