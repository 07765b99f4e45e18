"""The library behind the pipeline and the live twin: values in, values out."""
