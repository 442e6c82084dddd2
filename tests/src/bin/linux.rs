//! Runs one Linux guest on bare QEMU, without Stagegate: proves the guest's
//! own script, and gives the time that `/init` takes without a hypervisor.
//!
//! Usage: `linux [--series 6.1] [--cpus N] [--mem MIB] [--do cpus,memory,…]
//! [-- QEMU arguments]`

use stagegate_tests::checks::Checks;
use stagegate_tests::guest::{self, Vm};
use stagegate_tests::machine::Machine;
use stagegate_tests::{Result, initramfs, paths};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const NAME: &str = "bare";

fn option(name: &str, default: &str) -> String {
    let mut args = std::env::args().skip_while(|a| a != name).skip(1);
    args.next().unwrap_or_else(|| default.to_string())
}

fn run() -> Result<Checks> {
    let kernel = paths::kernel(&option("--series", "6.12"))?;
    let cpus = option("--cpus", "2");
    let memory = option("--mem", "512");
    let steps = option("--do", "boot,cpus,memory,hotplug,timer,checksum,reset");
    let number = |text: &str| {
        text.parse::<u32>()
            .map_err(|_| format!("'{text}' is no number"))
    };
    let mut machine = Machine::bare(number(&cpus)?, number(&memory)?);
    machine.no_reboot = false;
    machine.echo = true;
    machine
        .extra
        .extend(std::env::args().skip_while(|a| a != "--").skip(1));
    machine.initrd = Some(initramfs::build(&kernel)?);
    machine.kernel = Some(kernel.image);
    machine.bootargs = Some(format!(
        "console=ttyAMA0 quiet mem=508M stagegate.name={NAME} stagegate.cpus={cpus} stagegate.mem={memory} stagegate.do={steps}"
    ));
    let mut running = machine.start(&paths::fresh_dir("bare")?)?;
    let (mut vm, mut checks) = (Vm::new(NAME), Checks::default());
    let started = Instant::now();
    let deadline = started + Duration::from_secs(120);
    while let Ok(line) = running.console.next(deadline) {
        if let Some(said) = guest::parse(&line.text)
            && let Some(answer) = vm.hear(said, &line, &mut checks)
        {
            running.console.send(format!("{answer}\n").as_bytes())?;
        }
    }
    checks.note(
        "A3",
        "ended by itself",
        vm.exit.as_deref() == Some("poweroff"),
        format!("{:?}", vm.exit),
    );
    println!("{} s", started.elapsed().as_secs_f32());
    Ok(checks)
}

fn main() -> ExitCode {
    match run() {
        Ok(checks) if checks.passed() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
