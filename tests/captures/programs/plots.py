import matplotlib

matplotlib.pyplot.plot([1, 2, 3])
