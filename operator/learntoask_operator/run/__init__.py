"""LearnToAskRun: one reconcile observes the run's Jobs and pods, decides, acts, and writes the status.

reconciler     one reconcile, in an order that a crash anywhere does not hurt; begin here
observe        Jobs and pods of a stage → what the planner is told about it (pure)
pod_messages   when pods run, how they ended (pure)
progress       the latest progress that pods pushed, in memory
decide         run, children and clock → what to create, apply, delete and write (pure)
admission      whether a cluster can run the manifest at all (pure)
requests       what people ask for by annotation (pure)
stage_records  the records of the stages, before and after the plan (pure)
children       the children of a run, and which ones to delete (pure)
workload       which children the plan needs, and which ones must go (pure)
status         phase, conditions, summaries and Events (pure)
render/        Jobs, services, ConfigMaps, the AskEndpoint (pure)
labels         labels and names of children
"""
