//! Prints `tools/linux/stagegate-abi.h`.

fn main() {
    print!("{}", stagegate_abi::header::text());
}
