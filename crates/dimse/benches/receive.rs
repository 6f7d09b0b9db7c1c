//! What receiving costs: one sender floods an acceptor whose sink forgets the bytes. Prints bytes per second of the acceptor's own CPU time and of wall time
//! for several PDU sizes, and the time of one small object. Linux only; arguments: megabytes per size (default 1500).
#![expect(clippy::print_stdout, reason = "a benchmark's output is its result")]

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Instant,
};

use bytes::Bytes;
use dokuei_dimse::{
    Admission, AssociationRequest, Decision, Handlers, Server, ServerConfig, Status, Stop, StoragePolicy, StoreRequest,
    StoreService, StoreSink,
    command::{CommandField, CommandSet, element},
};

const OBJECT: usize = 50 << 20;

struct Everybody;

impl Admission for Everybody {
    type Session = ();

    async fn admit(&self, _request: &AssociationRequest) -> Decision<()> {
        Decision::Accept(())
    }
}

struct Forget;

impl StoreService<()> for Forget {
    type Sink = Forgotten;

    async fn begin(&self, _session: &Arc<()>, _request: StoreRequest) -> Result<Forgotten, Status> {
        Ok(Forgotten)
    }
}

struct Forgotten;

impl StoreSink for Forgotten {
    async fn write(&mut self, _bytes: Bytes) -> Result<(), Status> {
        Ok(())
    }

    async fn finish(self) -> Status {
        Status::SUCCESS
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let megabytes: usize = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(1500);
    println!("{:>10} {:>16} {:>12}", "PDU bytes", "MB per CPU s", "MB per s");
    for max_pdu in [16_384, 32_768, 131_072, 262_144, 1 << 20] {
        let objects = (megabytes << 20).div_ceil(OBJECT);
        let (cpu, wall) = measure(max_pdu, objects, OBJECT)?;
        let megabytes = (objects * OBJECT) as f64 / 1e6;
        println!("{max_pdu:>10} {:>16.0} {:>12.0}", megabytes / cpu, megabytes / wall);
    }
    let (cpu, wall) = measure(131_072, 20_000, 2_000)?;
    println!("objects of 2 kB: {:.1} µs CPU, {:.1} µs in all", cpu * 1e6 / 20_000.0, wall * 1e6 / 20_000.0);
    Ok(())
}

/// CPU seconds of the acceptor's thread, and seconds.
fn measure(max_pdu: u32, objects: usize, size: usize) -> Result<(f64, f64), Box<dyn std::error::Error>> {
    let (tell, address) = std::sync::mpsc::channel();
    let stop = Stop::default();
    let stopped = stop.clone();
    let acceptor = std::thread::spawn(move || -> std::io::Result<f64> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let bound = Server::bind("127.0.0.1:0", ServerConfig { max_pdu, ..ServerConfig::default() }).await?;
            let _ = tell.send(bound.local_addr());
            let handlers = Handlers {
                admission: Everybody,
                policy: Box::new(StoragePolicy),
                store: Forget,
                normalized: Arc::new(()),
                query: Arc::new(()),
                observer: Box::new(()),
            };
            bound.serve(handlers, stopped).await;
            thread_cpu_seconds()
        })
    });
    let begin = Instant::now();
    send(address.recv()?, max_pdu, objects, size)?;
    let wall = begin.elapsed().as_secs_f64();
    stop.soft.cancel();
    let cpu = acceptor.join().map_err(|_| "the acceptor panicked")??;
    Ok((cpu, wall))
}

fn thread_cpu_seconds() -> std::io::Result<f64> {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: f64 = statistics.split(' ').next().and_then(|field| field.parse().ok()).unwrap_or(f64::NAN);
    Ok(nanoseconds / 1e9)
}

/// A sender that does as little as possible, so that the acceptor is what is measured.
fn send(address: SocketAddr, max_pdu: u32, objects: usize, size: usize) -> std::io::Result<()> {
    const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.write_all(&associate_request(CT))?;
    receive(&mut stream)?;
    let command = CommandSet::new(CommandField::C_STORE_RQ)
        .with_uid(element::AFFECTED_SOP_CLASS_UID, CT)
        .with_u16(element::MESSAGE_ID, 1)
        .with_uid(element::AFFECTED_SOP_INSTANCE_UID, "1.2.3")
        .with_data_set(true)
        .encode();
    let fragment = (max_pdu as usize - 6).min(size);
    let start = p_data(3, &command);
    let (middle, whole) = (p_data(0, &vec![7; fragment]), size / fragment);
    let end = p_data(2, &vec![7; size % fragment]);
    for _ in 0..objects {
        stream.write_all(&start)?;
        for _ in 0..whole {
            stream.write_all(&middle)?;
        }
        stream.write_all(&end)?;
        receive(&mut stream)?;
    }
    stream.write_all(&[5, 0, 0, 0, 0, 4, 0, 0, 0, 0])?;
    receive(&mut stream)
}

fn receive(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut header = [0; 6];
    stream.read_exact(&mut header)?;
    let [_, _, a, b, c, d] = header;
    stream.read_exact(&mut vec![0; u32::from_be_bytes([a, b, c, d]) as usize])
}

fn p_data(control: u8, bytes: &[u8]) -> Vec<u8> {
    let length = bytes.len() as u32 + 2;
    [&[4, 0][..], &(length + 4).to_be_bytes(), &length.to_be_bytes(), &[1, control], bytes].concat()
}

fn associate_request(abstract_syntax: &str) -> Vec<u8> {
    fn item(item_type: u8, value: &[u8]) -> Vec<u8> {
        [&[item_type, 0][..], &(value.len() as u16).to_be_bytes(), value].concat()
    }
    let context = [vec![1, 0, 0, 0], item(0x30, abstract_syntax.as_bytes()), item(0x40, b"1.2.840.10008.1.2")].concat();
    let body = [
        &[0, 1, 0, 0][..],
        b"BENCH           BENCH           ",
        &[0; 32],
        &item(0x10, b"1.2.840.10008.3.1.1.1"),
        &item(0x20, &context),
        &item(0x50, &item(0x51, &[0, 0, 0, 0])),
    ]
    .concat();
    [&[1, 0][..], &(body.len() as u32).to_be_bytes(), &body].concat()
}
