//! `simulators modbus`: a Modbus meter of any profile.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use modbus::{Probe, Profile, RegisterImage};
use simulators::Terminal;
use simulators::modbus::{Contents, Manners, Registers, SerialLine, Site};

use crate::{Ending, print_addresses};

/// How the meter is reached, and how it behaves.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The profile: the name of a built-in one, or a file.
    #[arg(long)]
    profile: String,
    /// The unit identifiers that answer, each a meter of its own; repeat it for more.
    #[arg(long, default_values_t = [1])]
    unit: Vec<u8>,
    /// Address of a Modbus TCP server; port 0 takes any free one.
    #[arg(long, value_name = "ADDRESS", required_unless_present_any = ["serial_server", "terminal"])]
    tcp: Option<SocketAddr>,
    /// Address of a serial server, which passes the frames of the line on (RTU over TCP).
    #[arg(long, value_name = "ADDRESS", conflicts_with = "tcp")]
    serial_server: Option<SocketAddr>,
    /// Opens a pseudo-terminal, which a master uses as a serial port (RTU).
    #[arg(long, conflicts_with_all = ["tcp", "serial_server"])]
    terminal: bool,
    /// Bits per second of the line; without it, bits take no time.
    #[arg(long, value_parser = clap::value_parser!(u32).range(300..=921_600))]
    baud: Option<u32>,
    /// How long a meter thinks about a request, in milliseconds.
    #[arg(long, default_value_t = 0)]
    latency_ms: u64,
    /// Accepts one connection at a time.
    #[arg(long)]
    one_connection: bool,
    /// Returns what it is sent before it answers, as adapters with a local echo do; on serial lines.
    #[arg(long, conflicts_with = "tcp")]
    echo: bool,
    /// Refuses each request that touches a register without contents.
    #[arg(long)]
    refuse_holes: bool,
}

impl Options {
    fn site(&self) -> io::Result<Site> {
        let text = match modbus::built_in(&self.profile) {
            Some(text) => text.to_owned(),
            None => fs::read_to_string(&self.profile)?,
        };
        let profile = Profile::parse(&text).map_err(io::Error::other)?;
        let test = profile.self_tests().first();
        let test =
            test.ok_or_else(|| io::Error::other("the profile has no self-test to take values from"))?;
        let image = test.image().map_err(io::Error::other)?;
        let mut registers = telling(&profile, image)?;
        if self.refuse_holes {
            registers = registers.refusing_holes();
        }
        let manners = Manners {
            latency: Duration::from_millis(self.latency_ms),
            line: self.baud.map(SerialLine::new),
            one_connection: self.one_connection,
            echo: self.echo,
        };
        let units = self.unit.iter();
        Ok(units.fold(Site::with_manners(manners), |site, unit| {
            site.with_meter(*unit, registers.clone())
        }))
    }
}

/// Has a meter with these contents show what its profile's probes look for.
fn telling(profile: &Profile, mut image: RegisterImage) -> io::Result<Registers> {
    let contents = Contents {
        serial_number: "1".to_owned(),
        ..Contents::default()
    };
    let filled = contents.fill(profile).map_err(io::Error::other)?;
    let mut objects = Vec::new();
    for probe in profile.identification() {
        match probe {
            Probe::Register { field, .. } => {
                let block = field.block();
                if let (None, Some(words)) = (image.words(block), filled.image().words(block)) {
                    image.insert(block, &words).map_err(io::Error::other)?;
                }
            }
            Probe::Device { object, .. } => {
                let text = filled.object(object.id()).map(str::to_owned);
                objects.extend(text.ok().map(|text| (object.id(), text)));
            }
        }
    }
    let registers = Registers::new(image, profile.limits().registers_per_request);
    Ok(objects.into_iter().fold(registers, |registers, (object, text)| {
        registers.with_object(object, &text)
    }))
}

/// Runs the meter until a signal comes.
///
/// # Errors
///
/// If there is no such profile, or the address cannot be listened on.
pub(crate) async fn run(options: &Options) -> io::Result<()> {
    // Before the line is printed: whoever has read it may end the program at once.
    let mut end = Ending::new()?;
    let site = options.site()?;
    if options.terminal {
        let terminal = Terminal::open().map_err(io::Error::other)?;
        let path = terminal.path().to_owned();
        let service = site.attach(terminal);
        print_addresses(&serde_json::json!({ "terminal": path }))?;
        end.wait().await;
        service.stop().await;
        return Ok(());
    }
    let server = match (options.tcp, options.serial_server) {
        (_, Some(address)) => site.listen_serial(address).await?,
        (Some(address), None) => site.listen(address).await?,
        (None, None) => return Err(io::Error::other("no address is given")),
    };
    print_addresses(&serde_json::json!({ "modbus": server.address() }))?;
    end.wait().await;
    server.stop().await;
    Ok(())
}
