//! moto's S3 server, from PyPI: what many projects test against, and another reading of the same manual. It checks no signatures.

use std::net::SocketAddr;
use std::time::Duration;

use super::{ACCESS_KEY, BUCKET, S3Error, SECRET_KEY, store_url};
use crate::process::{NodeCommand, NodeProcess};
use crate::python::python_with;

const PACKAGES: [&str; 1] = ["moto[server]==5.2.5"];
const PATIENCE: Duration = Duration::from_secs(120);

/// Prints its address once the bucket is there, and ends with the process that started it.
const SCRIPT: &str = "
import sys, time, boto3
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
s3 = boto3.client('s3', endpoint_url=f'http://{host}:{port}', region_name='us-east-1',
                  aws_access_key_id=sys.argv[1], aws_secret_access_key=sys.argv[2])
s3.create_bucket(Bucket=sys.argv[3])
print(f'{host}:{port}', flush=True)
while True:
    time.sleep(3600)
";

/// A running moto; it ends when this is dropped.
#[derive(Debug)]
pub struct MotoServer {
    address: SocketAddr,
    _process: NodeProcess,
}

impl MotoServer {
    /// Starts moto with the empty bucket [`BUCKET`]. The first call on a machine installs it.
    pub fn start() -> Result<Self, S3Error> {
        let python = python_with(&PACKAGES)?.args(["-c", "import sys; print(sys.executable)"]).run()?;
        let process = NodeCommand::new(python.stdout_text().trim())
            .args(["-c", SCRIPT, ACCESS_KEY, SECRET_KEY, BUCKET])
            .start()?;
        let address = process.wait_for_line_blocking(PATIENCE, |line| line.parse().ok())?;
        Ok(Self { address, _process: process })
    }

    /// See [`super::S3Server::url`].
    pub fn url(&self, prefix: &str) -> String {
        store_url(self.address, prefix)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
