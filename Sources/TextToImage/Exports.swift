// What users of the library name in their own code.
@_exported import struct Checkpoints.ArchitectureHints
@_exported import struct Checkpoints.ModelPaths
@_exported import struct Images.PNGError
@_exported import struct Images.RGBImage
@_exported import struct ModelFiles.ModelFileError
@_exported import enum Tensors.ActivationPrecision
