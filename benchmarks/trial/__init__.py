"""The GPU trial's parts, and what runs them. `gpu_trial.py` beside this folder is the program.

A part is a module with a function `run(trial)`, named in `parts.PARTS`. The program starts each part in a process of
its own (`runner`), where `session` keeps its time and writes down what it finds.
"""
