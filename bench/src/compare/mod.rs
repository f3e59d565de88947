//! Other proxies and this one, side by side. In each round every contender is started, put under the same load for a short
//! time and ended; then comes the next round. Ratios are made within a round, so what changes on the machine from minute to
//! minute is in both numbers; a figure is the median of its rounds.

mod column;
mod contender;
mod expectation;
mod growth;
pub mod instructions;
mod lab;
mod machine;
pub mod profile;
mod results;

use clap::Args;

use self::column::Column;
use self::contender::Contender;
use self::lab::Lab;
use self::results::Results;
use crate::Outcome;
use crate::process::Place;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Rounds; a figure is their median
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only columns whose names contain this; `growth` is one, too
    #[arg(long, default_value = "")]
    only: String,
    /// Only these contenders, separated by commas
    #[arg(long, value_delimiter = ',')]
    contenders: Vec<String>,
    #[command(flatten)]
    lab: lab::Arguments,
}

pub fn run(arguments: &Arguments) -> Outcome<()> {
    let lab = Lab::new(&arguments.lab)?;
    println!("{}", machine::describe());
    let contenders = startable(&lab, arguments);
    let mut results = Results::new(&arguments.lab.output)?;
    for column in column::all().iter().filter(|column| column.name.contains(&arguments.only)) {
        let contenders: Vec<_> = contenders.iter().filter(|contender| column.admits(contender)).collect();
        for round in 0..arguments.rounds {
            measure(&lab, column, &contenders, round, &mut results)?;
        }
        results.print(column, &contenders);
    }
    expectation::print(&results);
    let is_there = contenders.iter().any(|contender| contender.name == "sluicegate");
    if is_there && "growth".contains(&arguments.only) {
        growth::run(&lab, arguments.rounds, &mut results)?;
    }
    println!("\nEach round's readings: {}", results.path().display());
    Ok(())
}

fn by_name<T>(mut all: Vec<T>, name: &str, name_of: impl Fn(&T) -> &str) -> Outcome<T> {
    let Some(found) = all.iter().position(|one| name_of(one) == name) else {
        let names: Vec<_> = all.iter().map(name_of).collect();
        return Err(format!("there is no {name}, but {}", names.join(", ")).into());
    };
    Ok(all.swap_remove(found))
}

/// Those that were asked for and work; the others are told.
fn startable(lab: &Lab, arguments: &Arguments) -> Vec<Contender> {
    let mut contenders = contender::all();
    let wanted = &arguments.contenders;
    for name in wanted.iter().filter(|name| !contenders.iter().any(|contender| contender.name == **name)) {
        eprintln!("!! there is no contender {name}");
    }
    contenders.retain(|contender| wanted.is_empty() || wanted.contains(&contender.name));
    // The first start of one with plugins compiles them, which belongs to no measurement.
    contenders.retain(|contender| match lab.start(contender, 1, Place::Own) {
        Ok(_) => true,
        Err(error) => {
            eprintln!("!! LEFT OUT: {}: {error}", contender.name);
            false
        }
    });
    for contender in &contenders {
        println!("* {}: {}", contender.name, contender.version(lab));
    }
    contenders
}

/// One round. Who is first changes with the round.
fn measure(
    lab: &Lab,
    column: &Column,
    contenders: &[&Contender],
    round: usize,
    results: &mut Results,
) -> Outcome<()> {
    for turn in 0..contenders.len() {
        let contender = contenders[(turn + round) % contenders.len()];
        eprintln!("{}, round {}: {}", column.name, round + 1, contender.name);
        let measure = || column.measure(lab, contender, &lab.start(contender, 1, Place::Own)?);
        lab.until_counted(measure, |reading| results.add(column.name, &contender.name, round, reading))?;
    }
    Ok(())
}
