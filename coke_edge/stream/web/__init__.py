"""The web view: a page with the annotated picture of the newest frame, its keypoints and the latency.

Viewers pull: each asks for the newest frame after it has shown the one before, and the server answers when there is
one. So a viewer has one frame on its way at most, whatever its link, nothing queues, and a slow viewer sees fewer
frames, each as fresh as its link allows. The run itself only leaves each result in a slot.
"""
