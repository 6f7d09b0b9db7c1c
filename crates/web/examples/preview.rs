//! A node of the tests' world behind a real port, to look at its pages: `cargo run -p dokuei-web --example preview`.
//!
//! Prints a one-time sign-in link for everybody, their passwords, TOTP secrets and present codes. Everything is thrown away at the end.
#![expect(clippy::print_stdout, reason = "it is a command")]
#![expect(clippy::disallowed_methods, reason = "the preview runs in real time")]

#[path = "../src/tests/world.rs"]
mod world;

use std::{net::SocketAddr, sync::Arc, time::SystemTime};

use dokuei_domain::{Actor, Ambient, Clock, Priority, Timestamp};
use dokuei_testkit::{
    SeededEntropy,
    data_set::Encoding,
    edit::{Edit, with_edits},
    synthetic::{CtImage, YAMADA_TARO_CHARACTER_SET, YAMADA_TARO_NAME},
    testdata,
};
use dokuei_worklist::NewRequest;
use world::{World, account};

struct RealTime;

impl Clock for RealTime {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_micros()).unwrap_or(0))
    }
}

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let entropy = Arc::new(SeededEntropy::new(RealTime.now().micros().unsigned_abs()));
    let world = World::new(folder.path(), Ambient::new(Arc::new(RealTime), entropy)).await;
    send_studies(&world).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    for (name, person) in &world.people {
        let link = world.state.access.sign_in_link_create(&account(name), 3600).await.unwrap();
        println!(
            "{name} http://{address}/sign-in/link/{link} {} {} {}",
            person.password,
            person.totp_secret_base32,
            world.code(name)
        );
    }
    println!("ready http://{address}/");
    let router = dokuei_web::router(world.state.clone());
    tokio::spawn(async move {
        loop {
            world.work().await;
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    });
    axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>()).await.unwrap();
}

async fn send_studies(world: &World) {
    let series = ct_series();
    println!("{} images of the test data", series.len());
    if !series.is_empty() {
        world.send("HOSP1", &series).await;
        let office = Actor::CommandLine;
        let study = world.state.ingest.studies(&office, 1).await.unwrap().remove(0);
        let request = NewRequest {
            clinical_question: "突然の頭痛、嘔吐。くも膜下出血の除外をお願いします。\n既往:高血圧。".to_owned(),
            callback_number: "03-0000-1234 (内線 2210)".to_owned(),
            requesting_physician: "高橋 健一".to_owned(),
            priority: Priority::Emergency,
        };
        world.state.worklist.enter_request(&office, study.pk, request).await.unwrap();
    }
    let entropy = SeededEntropy::new(77);
    for (number, (name, set)) in
        [(YAMADA_TARO_NAME, YAMADA_TARO_CHARACTER_SET), ("Müller^Jörg".as_bytes(), "ISO_IR 192"), (b"", "ISO_IR 100")]
            .into_iter()
            .enumerate()
    {
        let images = CtImage::series(5, &entropy);
        let id = if name.is_empty() { String::new() } else { format!("P-{number:05}") };
        let image =
            |image: CtImage| image.with_patient(id.as_bytes(), name, set).part10(Encoding::ExplicitLittleEndian);
        world.send(["HOSP1", "HOSP2", "HOSP2"][number], &images.into_iter().map(image).collect::<Vec<_>>()).await;
    }
    world.work().await;
    // What waits for the office: a study that contradicts its patient, and objects that cannot be filed.
    let twin = &CtImage::series(2, &entropy)[0];
    let image = |image: &CtImage| image.part10(Encoding::ExplicitLittleEndian);
    let named = |image: &CtImage| image.clone().with_patient("P-00000", YAMADA_TARO_NAME, YAMADA_TARO_CHARACTER_SET);
    world.send("HOSP1", &[image(&named(twin).born("19630812", "F"))]).await;
    let next = CtImage { sop_instance_uid: format!("{}.1", twin.series_instance_uid), ..twin.clone() };
    let mut other_pixels = image(&named(twin).born("19630812", "F"));
    if let Some(last) = other_pixels.last_mut() {
        *last ^= 1;
    }
    let differs = image(&named(&next).born("19600401", "F"));
    let no_series = CtImage { series_instance_uid: String::new(), ..next };
    world.try_send("HOSP1", &[other_pixels, differs, image(&no_series)]).await;
    world.work().await;
}

/// The real CT of the test data under a made-up identity.
fn ct_series() -> Vec<Vec<u8>> {
    let identity = [
        Edit::specific_character_set("ISO_IR 192"),
        Edit::patient_name("Tanaka^Hanako=田中^花子=たなか^はなこ".as_bytes()),
        Edit::patient_id("0001234567"),
        Edit::new(dokuei_testkit::data_set::Tag(0x0010, 0x0030), b"DA", "19500314"),
        Edit::new(dokuei_testkit::data_set::Tag(0x0010, 0x0040), b"CS", "F"),
        Edit::new(dokuei_testkit::data_set::Tag(0x0008, 0x0020), b"DA", "20261122"),
        Edit::new(dokuei_testkit::data_set::Tag(0x0018, 0x0015), b"CS", "HEAD"),
        Edit::new(dokuei_testkit::data_set::Tag(0x0008, 0x1030), b"LO", "頭部単純CT".as_bytes()),
    ];
    let mut paths: Vec<_> = std::fs::read_dir(testdata("ct_series_GE_HiSpeed"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "dcm"));
    paths.sort();
    paths.iter().map(|path| with_edits(&std::fs::read(path).unwrap(), &identity).unwrap()).collect()
}
