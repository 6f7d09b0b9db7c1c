//! A hospital's system on pynetdicom: storage commitment, procedure steps and availability notifications as another implementation speaks them.

use dokuei_testkit::{Tool, python_with};
use serde_json::{Value, json};

use super::PATIENCE;

/// What the driver needs.
const PACKAGES: [&str; 2] = ["pydicom==3.0.2", "pynetdicom==3.0.4"];

/// What a run of the hospital gave.
#[derive(Debug)]
pub(crate) struct Visit {
    /// Of each request in turn: status, error comment, and of N-CREATE the instance.
    pub(crate) answers: Vec<Value>,
    /// Results of storage commitment.
    pub(crate) results: Vec<Value>,
}

impl Visit {
    pub(crate) fn statuses(&self) -> Vec<u64> {
        self.answers.iter().map(|answer| answer["status"].as_u64().unwrap()).collect()
    }
}

/// Runs the steps that `hospital.py` describes, as `calling`, against the node's `port`; `listen` is where it takes results on associations of the node.
pub(crate) async fn visit(calling: &str, port: u16, listen: Option<u16>, steps: &[Value]) -> Visit {
    run(json!({ "calling": calling, "port": port, "listen": listen, "steps": steps })).await
}

/// As [`visit`], but whatever result comes meanwhile is not taken.
pub(crate) async fn deaf_visit(calling: &str, port: u16, steps: &[Value]) -> Visit {
    run(json!({ "calling": calling, "port": port, "steps": steps, "deaf": true })).await
}

async fn run(plan: Value) -> Visit {
    let python = tokio::task::spawn_blocking(|| python_with(&PACKAGES)).await.unwrap().unwrap();
    let driver = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/harness/hospital.py");
    let run: Tool = python.arg(driver).input(plan.to_string()).timeout(2 * PATIENCE);
    let output = run.run_async().await.unwrap().success();
    let mut said: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"));
    let mut list = |key: &str| said[key].as_array_mut().map(std::mem::take).unwrap();
    Visit { answers: list("answers"), results: list("results") }
}
