//! What a record measures: the words of the VIF tables.

/// Defines the measurands with their words, which are their documentation too.
macro_rules! measurands {
    ($($name:ident = $words:literal,)*) => {
        /// What a record measures, by its VIF.
        ///
        /// Spec: EN 13757-3:2018, tables 10 to 14 (primary VIFs and the extensions FB, FD, FD FD).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Measurand {
            $(#[doc = concat!("The ", $words, ".")] $name,)*
        }

        impl Measurand {
            /// Every measurand, in the order of the enum.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns the words for the measurand: lower case, stable, and different for each.
            #[must_use]
            pub const fn words(self) -> &'static str {
                match self {
                    $(Self::$name => $words,)*
                }
            }
        }
    };
}

measurands! {
    Energy = "energy",
    Volume = "volume",
    Mass = "mass",
    OnTime = "on time",
    OperatingTime = "operating time",
    Power = "power",
    VolumeFlow = "volume flow",
    MassFlow = "mass flow",
    FlowTemperature = "flow temperature",
    ReturnTemperature = "return temperature",
    TemperatureDifference = "temperature difference",
    ExternalTemperature = "external temperature",
    Temperature = "temperature",
    Pressure = "pressure",
    Date = "date",
    DateTime = "date and time",
    Time = "time",
    HeatCostAllocation = "heat cost allocation",
    AveragingDuration = "averaging duration",
    ActualityDuration = "actuality duration",
    FabricationNumber = "fabrication number",
    EnhancedIdentification = "enhanced identification",
    BusAddress = "bus address",
    Any = "any",
    PlainText = "plain text",
    ManufacturerSpecific = "manufacturer specific",
    ReactiveEnergy = "reactive energy",
    ApparentEnergy = "apparent energy",
    CoefficientOfPerformance = "coefficient of performance",
    ReactivePower = "reactive power",
    ApparentPower = "apparent power",
    RelativeHumidity = "relative humidity",
    PhaseVoltageToVoltage = "phase angle of voltage to voltage",
    PhaseVoltageToCurrent = "phase angle of voltage to current",
    Frequency = "frequency",
    ResultingRatingFactor = "resulting rating factor",
    ThermalOutputRatingFactor = "thermal output rating factor",
    ThermalCouplingFactor = "thermal coupling rating factor",
    ThermalCouplingFactorRoom = "thermal coupling rating factor of the room side",
    ThermalCouplingFactorHeater = "thermal coupling rating factor of the heater side",
    LowTemperatureFactor = "low temperature rating factor",
    DisplayScalingFactor = "display output scaling factor",
    TemperatureLimit = "cold or warm temperature limit",
    CumulativeMaximumPower = "cumulative maximum of active power",
    Credit = "credit",
    Debit = "debit",
    AccessNumber = "access number",
    DeviceType = "device type",
    Manufacturer = "manufacturer",
    ParameterSet = "parameter set identification",
    ModelVersion = "model or version",
    HardwareVersion = "hardware version",
    FirmwareVersion = "firmware version",
    SoftwareVersion = "software version",
    CustomerLocation = "customer location",
    Customer = "customer",
    AccessCodeUser = "access code of the user",
    AccessCodeOperator = "access code of the operator",
    AccessCodeSystemOperator = "access code of the system operator",
    AccessCodeDeveloper = "access code of the developer",
    Password = "password",
    ErrorFlags = "error flags",
    ErrorMask = "error mask",
    SecurityKey = "security key",
    DigitalOutput = "digital output",
    DigitalInput = "digital input",
    BaudRate = "baud rate",
    ResponseDelay = "response delay time",
    Retry = "retry",
    RemoteControl = "remote control",
    FirstStorage = "first storage number",
    LastStorage = "last storage number",
    StorageBlockSize = "size of storage block",
    TariffDescriptor = "descriptor of tariff and subunit",
    StorageInterval = "storage interval",
    OperatorSpecific = "operator specific data",
    SecondOfTimePoint = "time point second",
    DurationSinceReadout = "duration since last readout",
    TariffStart = "start of tariff",
    TariffDuration = "duration of tariff",
    TariffPeriod = "period of tariff",
    Dimensionless = "dimensionless",
    WirelessContainer = "data container for wireless M-Bus",
    TransmissionPeriod = "period of nominal data transmissions",
    Voltage = "voltage",
    Current = "current",
    ResetCounter = "reset counter",
    CumulationCounter = "cumulation counter",
    ControlSignal = "control signal",
    DayOfWeek = "day of week",
    WeekNumber = "week number",
    TimeOfDayChange = "time point of day change",
    ParameterActivation = "state of parameter activation",
    SupplierInformation = "special supplier information",
    DurationSinceCumulation = "duration since last cumulation",
    BatteryOperatingTime = "operating time of battery",
    BatteryChange = "date and time of battery change",
    ReceptionLevel = "reception level",
    DaylightSaving = "daylight saving rule",
    ListeningWindow = "listening window",
    BatteryRemaining = "remaining battery life time",
    StopCounter = "number of times the meter was stopped",
    MakersContainer = "data container for manufacturer specific protocol",
    SelectedApplication = "currently selected application",
    MoistureLevel = "moisture level",
    Alarm = "alarm",
    TimeCorrection = "time correction",
    Unknown = "unknown",
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_measurands_share_their_words() {
        let words: BTreeSet<_> = Measurand::ALL.iter().map(|measurand| measurand.words()).collect();
        assert_eq!(words.len(), Measurand::ALL.len());
        assert_eq!(Measurand::VolumeFlow.words(), "volume flow");
    }
}
