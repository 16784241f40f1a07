// What users of the library name in their own code.
@_exported import enum ComputeCPU.ActivationPrecision
@_exported import enum Machine.MemoryBudget
@_exported import func Machine.peakResidentBytes
@_exported import struct Checkpoints.AdapterPath
@_exported import struct Checkpoints.ArchitectureHints
@_exported import enum Diffusion.PromptWeighting
@_exported import enum Diffusion.SamplerName
@_exported import enum Diffusion.ScheduleName
@_exported import struct Checkpoints.ModelPaths
@_exported import enum Images.ResizeMode
@_exported import struct Images.PNGError
@_exported import struct Images.PNGHeader
@_exported import struct Images.PNGPicture
@_exported import struct Images.RGBImage
@_exported import struct Machine.MachineMemory
@_exported import struct ModelFiles.ModelFileError
