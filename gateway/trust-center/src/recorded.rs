//! The acts on the books: what they record, and where they are.

use counterparty::clock;

use crate::ProgramError;
use crate::arguments::{MoveBooks, Records};
use crate::books::{self, Books, Verified};
use crate::output::Output;

/// Shows the records of the books, or verifies their chain.
pub(crate) fn records(command: &Records) -> Result<(), ProgramError> {
    match command {
        Records::Show(act) => {
            let books = Books::open(&act.common.home)?;
            let mut behind = act.behind;
            loop {
                let page = books.page(behind)?;
                let Some(last) = page.last() else {
                    return Ok(());
                };
                behind = last.number;
                for record in page {
                    let output = Output::Record(record);
                    output.print(act.common.json).map_err(ProgramError::Output)?;
                }
            }
        }
        Records::Verify(common) => {
            let Verified { records, head } = Books::open(&common.home)?.verify()?;
            let output = Output::Verify { records, head };
            output.print(common.json).map_err(ProgramError::Output)
        }
    }
}

/// Moves the books to a server.
pub(crate) fn move_books(act: &MoveBooks) -> Result<(), ProgramError> {
    let address = match (&act.to, &act.to_file) {
        (Some(address), _) => address.clone(),
        (None, file) => books::read_address_file(file.as_deref())?,
    };
    let Verified { records, head } = books::move_to_server(&act.common.home, address.trim(), clock::now())?;
    let output = Output::BooksMoved { records, head };
    output.print(act.common.json).map_err(ProgramError::Output)
}
