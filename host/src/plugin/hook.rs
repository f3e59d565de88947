//! What a plugin can be called for, as usage is counted and failures are told.

/// One kind of call into a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Making an instance: what a component does by itself before anything is asked of it.
    Instantiate,
    Configure,
    OnRequest,
    OnResponse,
    Open,
    OnMessage,
    OnTimer,
    OnDrain,
    OnClose,
    /// The destructor of a session in a shared instance.
    Drop,
    ExportState,
    ImportState,
}

// === impl Hook ===

impl Hook {
    pub const COUNT: usize = Self::ALL.len();

    /// In the order of their discriminants.
    pub const ALL: [Self; 12] = [
        Self::Instantiate,
        Self::Configure,
        Self::OnRequest,
        Self::OnResponse,
        Self::Open,
        Self::OnMessage,
        Self::OnTimer,
        Self::OnDrain,
        Self::OnClose,
        Self::Drop,
        Self::ExportState,
        Self::ImportState,
    ];

    /// As `wit/` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Instantiate => "instantiate",
            Self::Configure => "configure",
            Self::OnRequest => "on-request",
            Self::OnResponse => "on-response",
            Self::Open => "open",
            Self::OnMessage => "on-message",
            Self::OnTimer => "on-timer",
            Self::OnDrain => "on-drain",
            Self::OnClose => "on-close",
            Self::Drop => "drop",
            Self::ExportState => "export-state",
            Self::ImportState => "import-state",
        }
    }

    /// Whether the session has ended before: what fails in here takes nothing from anybody who has an instance of their own.
    pub fn comes_after_the_end(self) -> bool {
        matches!(self, Self::OnClose | Self::Drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_in_the_order_of_their_discriminants() {
        for (position, hook) in Hook::ALL.into_iter().enumerate() {
            assert_eq!(hook as usize, position);
        }
    }
}
