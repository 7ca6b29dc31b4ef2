//! A program that embeds a broadcast server: a clock in every open tab.
//!
//! ```sh
//! cargo run --release --example embed
//! ```
//!
//! Then open a stream with `curl -N http://127.0.0.1:1942/sse`, and end the program with Ctrl-C or after a minute.

use std::time::{Duration, Instant};

use smol::Timer;
use smolcast::{Config, Event, Server};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::bind(Config::default())?;
    server.addresses().for_each(|address| println!("curl -N {address}sse"));

    let publisher = server.publisher();
    let publish_for_a_minute = async move {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(60) {
            let text = format!("{} s, {} streams", start.elapsed().as_secs(), publisher.streams());
            if publisher.publish(Event::new(text).with_type("tick")).await.is_err() {
                return;
            }
            Timer::after(Duration::from_secs(1)).await;
        }
    };

    // Serves until the future ends, then delivers accepted messages and ends every stream between two events.
    smol::block_on(server.run(publish_for_a_minute))?;
    Ok(())
}
