//! The fuzz targets on fixed random strings: a smoke test that needs no fuzzer.
//!
//! `STAGEGATE_HOSTILE=N` runs N strings per target instead of a few hundred.
#![allow(missing_docs)]

#[path = "../../fuzz/src/lib.rs"]
mod fuzz;

/// xorshift64*: the same strings on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Bytes of which some are zero, some small and some anything.
    fn bytes(&mut self) -> Vec<u8> {
        let len = self.next() % 2048;
        let taste = self.next() % 3;
        (0..len)
            .map(|_| match self.next() % 8 {
                n if n <= taste => 0,
                3 | 4 => (self.next() % 8) as u8,
                _ => self.next() as u8,
            })
            .collect()
    }
}

fn strings() -> u32 {
    std::env::var("STAGEGATE_HOSTILE")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(if cfg!(miri) { 1 } else { 200 })
}

fn check(name: &str, run: fn(&[u8]), what: &str, bytes: &[u8]) {
    if std::panic::catch_unwind(|| run(bytes)).is_err() {
        panic!("{name}: {what} of {} bytes: {bytes:x?}", bytes.len());
    }
}

#[test]
fn what_the_fuzzers_kept_does_no_harm() {
    for (name, run) in fuzz::TARGETS {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus");
        let files = std::fs::read_dir(format!("{corpus}/{name}")).expect("a corpus");
        for file in files.map(|file| file.expect("an entry").path()) {
            let bytes = std::fs::read(&file).expect("readable");
            check(name, run, &file.display().to_string(), &bytes);
        }
    }
}

#[test]
fn nothing_panics_and_what_must_hold_holds() {
    for (name, run) in fuzz::TARGETS {
        let mut random = Random(0x5747_4154);
        run(&[]);
        for number in 0..strings() {
            let bytes = random.bytes();
            if std::panic::catch_unwind(|| run(&bytes)).is_err() {
                panic!(
                    "{name}: string {number} of {} bytes: {bytes:x?}",
                    bytes.len()
                );
            }
        }
    }
}
