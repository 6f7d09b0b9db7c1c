//! What a durable blob costs, beside the same steps done plainly: write, fsync, rename, fsync the directory, each for itself.
//!
//! ```text
//! cargo run -p dokuei-image-store --example commit_cost -- DIRECTORY [BLOBS] [BYTES]
//! ```
//!
//! Rounds alternate, because other work on the disk changes from second to second: compare medians of one run only.
#![expect(clippy::print_stdout, reason = "the figures are its output")]

use std::error::Error;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use dokuei_domain::{BlobId, FacilityId};
use dokuei_image_store::{BlobKey, ImageStore};
use tokio::task::JoinSet;

const ROUNDS: u128 = 5;
const FRAGMENT: usize = 128 * 1024;

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().ok_or("usage: commit_cost DIRECTORY [BLOBS] [BYTES]")?);
    let blobs: usize = arguments.next().map_or(Ok(400), |text| text.parse())?;
    let bytes: usize = arguments.next().map_or(Ok(512 * 1024), |text| text.parse())?;
    let payload = Bytes::from(vec![0x5a; bytes]);

    for writers in [1, 8] {
        let (mut plain, mut stored) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let place = directory.join(format!("plain-{writers}-{round}"));
            fs::create_dir_all(&place)?;
            plain.push(rate(blobs, plainly(&place, writers, blobs / writers, &payload))?);
            fs::remove_dir_all(&place)?;

            let place = directory.join(format!("store-{writers}-{round}"));
            let started = Instant::now();
            through_the_store(&place, writers, blobs / writers, &payload).await?;
            stored.push(per_second(blobs, started));
            fs::remove_dir_all(&place)?;
        }
        println!("{writers} writers, {bytes} bytes: plain {}, image store {} blobs/s", summary(plain), summary(stored));
    }
    Ok(())
}

fn rate(blobs: usize, work: impl FnOnce() -> Result<(), Failure>) -> Result<f64, Failure> {
    let started = Instant::now();
    work()?;
    Ok(per_second(blobs, started))
}

fn per_second(blobs: usize, started: Instant) -> f64 {
    blobs as f64 / started.elapsed().as_secs_f64()
}

fn summary(mut rates: Vec<f64>) -> String {
    rates.sort_by(f64::total_cmp);
    let at = |index: usize| rates.get(index).copied().unwrap_or_default();
    format!("{:.0} ({:.0}-{:.0})", at(rates.len() / 2), at(0), at(rates.len().saturating_sub(1)))
}

fn plainly<'a>(
    place: &'a Path,
    writers: usize,
    each: usize,
    payload: &'a Bytes,
) -> impl FnOnce() -> Result<(), Failure> + 'a {
    move || {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..writers)
                .map(|writer| {
                    scope.spawn(move || -> Result<(), Failure> {
                        for number in 0..each {
                            let staged = place.join(format!("{writer}-{number}.part"));
                            let mut file = File::create_new(&staged)?;
                            for fragment in payload.chunks(FRAGMENT) {
                                file.write_all(fragment)?;
                            }
                            std::hint::black_box(digest(&SHA256, payload));
                            file.sync_all()?;
                            fs::rename(&staged, place.join(format!("{writer}-{number}")))?;
                            File::open(place)?.sync_all()?;
                        }
                        Ok(())
                    })
                })
                .collect();
            threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a writer panicked")?)
        })
    }
}

async fn through_the_store(place: &Path, writers: usize, each: usize, payload: &Bytes) -> Result<(), Failure> {
    let store = ImageStore::connect(&format!("file://{}", place.display())).await?;
    let facility = FacilityId::parse("HOSP1")?;
    let mut tasks: JoinSet<Result<(), Failure>> = JoinSet::new();
    for writer in 0..writers {
        let (store, facility, payload) = (store.clone(), facility.clone(), payload.clone());
        tasks.spawn(async move {
            for number in 0..each {
                let key =
                    BlobKey::instance(&facility, BlobId(uuid::Uuid::from_u128(((writer << 32) | number) as u128)));
                let mut staged = store.stage(key, Bytes::from_static(b"head")).await?;
                let mut rest = payload.clone();
                while !rest.is_empty() {
                    staged.write(rest.split_to(FRAGMENT.min(rest.len()))).await?;
                }
                staged.commit().await?;
            }
            Ok(())
        });
    }
    while let Some(result) = tasks.join_next().await {
        result??;
    }
    Ok(())
}
