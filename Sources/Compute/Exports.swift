// Networks and families name errors, and nothing else of the machine.
@_exported import enum Machine.ComputeError
